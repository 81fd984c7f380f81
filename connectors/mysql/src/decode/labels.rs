//! The labels of ENUM and SET columns.

use super::DecodeError;
use super::json::write_json_string;

/// Labels in the order of their numbers.
#[derive(Debug, Clone)]
pub(crate) struct EnumLabels(Vec<String>);

impl EnumLabels {
    pub(crate) fn new(labels: Vec<String>) -> Self {
        Self(labels)
    }

    /// The label with a number; 0 is the server's mark for a value that wasn't among the labels, which reads as empty.
    pub(crate) fn label(&self, number: u64) -> Result<&str, DecodeError> {
        let Some(index) = number.checked_sub(1) else { return Ok("") };
        let label = usize::try_from(index).ok().and_then(|index| self.0.get(index));
        label.map(String::as_str).ok_or_else(|| DecodeError::malformed("an ENUM", "a number without a label"))
    }
}

/// Labels, each already written as JSON, in the order of their bits.
#[derive(Debug, Clone)]
pub(crate) struct SetLabels(Vec<String>);

impl SetLabels {
    pub(crate) fn new(labels: &[String]) -> Self {
        let quoted = labels.iter().map(|label| {
            let mut quoted = String::new();
            write_json_string(label, &mut quoted);
            quoted
        });
        Self(quoted.collect())
    }

    /// Appends the JSON array of the labels whose bits are set.
    pub(crate) fn write(&self, bits: u64, out: &mut String) -> Result<(), DecodeError> {
        let known = match self.0.len() {
            64.. => u64::MAX,
            count => (1_u64 << count) - 1,
        };
        if bits & !known != 0 {
            return Err(DecodeError::malformed("a SET", "a bit without a label"));
        }
        out.push('[');
        let mut separator = "";
        for (_, label) in self.0.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1) {
            out.push_str(separator);
            out.push_str(label);
            separator = ",";
        }
        out.push(']');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bits_become_labels() {
        let labels = ["a", "b\"c", ""].map(str::to_owned);
        let kinds = EnumLabels::new(labels.to_vec());
        assert_eq!(kinds.label(0).unwrap(), "");
        assert_eq!(kinds.label(2).unwrap(), "b\"c");
        assert!(kinds.label(4).is_err());
        let set = SetLabels::new(&labels);
        let mut text = String::new();
        set.write(0b11, &mut text).unwrap();
        assert_eq!(text, r#"["a","b\"c"]"#);
        assert!(set.write(0b1000, &mut text).is_err());
        let all = SetLabels::new(&vec!["x".to_owned(); 64]);
        assert!(all.write(u64::MAX, &mut String::new()).is_ok());
    }
}

//! What a sequence counts, as it is kept in the catalog.

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// As it is written.
    pub data_type: String,
    pub start: i128,
    pub increment: i128,
    pub minimum: i128,
    pub maximum: i128,
    pub cycle: bool,
}

impl Sequence {
    pub fn to_definition(&self) -> String {
        let Self { data_type, start, increment, minimum, maximum, cycle } = self;
        format!("{data_type};{start};{increment};{minimum};{maximum};{}", u8::from(*cycle))
    }

    /// Reads what [`Self::to_definition`] wrote.
    pub fn read(definition: &str) -> Option<Self> {
        let mut parts = definition.split(';');
        let data_type = parts.next()?.to_owned();
        let mut number = || parts.next()?.parse::<i128>().ok();
        Some(Self {
            data_type,
            start: number()?,
            increment: number()?,
            minimum: number()?,
            maximum: number()?,
            cycle: number()? == 1,
        })
    }

    /// The value after another, or the first; None where there is none left.
    pub fn after(&self, last: Option<i128>) -> Option<i128> {
        let Some(last) = last else { return Some(self.start) };
        let next = last.saturating_add(self.increment);
        if (self.minimum..=self.maximum).contains(&next) {
            return Some(next);
        }
        self.cycle.then_some(if self.increment > 0 { self.minimum } else { self.maximum })
    }
}

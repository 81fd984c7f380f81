//! "Did you mean": the word of a list that is nearest to a misspelt one.

/// A suggestion that names the nearest of `known`, if one is near enough to be meant.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}

/// The nearest of `known` to `word`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong: more, and any short word would resemble any other.
    let edits_max = word.chars().count() / 3;
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let known = ["parameters", "data", "priority"];
        assert_eq!(nearest("paramters", known), Some("parameters"));
        assert_eq!(nearest("dta", known), Some("data"));
        assert_eq!(nearest("Data", known), Some("data"));
        assert_eq!(nearest("queries", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("u", ["v", "w"]), None);
        assert_eq!(nearest("U", ["v", "u"]), Some("u"));
    }
}

//! From scores to a label. What the step means is said at [`Classification`](sanderling_bundle::Classification).

use crate::error::SessionError;
use crate::validate::element_at;
use sanderling_bundle::{Classification, Label};
use sanderling_core::TensorView;

/// What a pipeline answers.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Answer {
    /// The label, or what stands for it where its score is too low.
    pub label: String,
    /// Score of the best label, 0 to 1 for probabilities; 1 for an answer by rule.
    pub confidence: f32,
    /// The best labels by falling score; empty for an answer by rule.
    pub top: Vec<Scored>,
    /// Whether a rule answered, without the model.
    pub rule: bool,
    /// Whether the best score was below the label's threshold.
    pub below_threshold: bool,
    /// Whether the input broke a rule and was let through.
    pub flagged: bool,
}

/// A label and its score.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Scored {
    /// The model's name for it.
    pub label: String,
    /// Index in the output.
    pub index: usize,
    /// Score.
    pub score: f32,
}

impl Answer {
    pub(super) fn by_rule(label: String) -> Self {
        Self {
            label,
            confidence: 1.0,
            top: Vec::new(),
            rule: true,
            below_threshold: false,
            flagged: false,
        }
    }
}

#[derive(PartialEq)]
pub(super) struct Classifier {
    output: String,
    classes: Classification,
}

impl Classifier {
    pub(super) fn new(output: String, classes: Classification) -> Result<Self, SessionError> {
        if classes.labels.is_empty() {
            let message = format!("the bundle classifies by output '{output}' and has no labels");
            return Err(SessionError::Description { message });
        }
        Ok(Self { output, classes })
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.classes.labels.iter().map(|label| label.name.as_str())
    }

    pub(super) fn classify(
        &self,
        outputs: &[(&str, TensorView<'_>)],
        top_k: Option<usize>,
    ) -> Result<Answer, SessionError> {
        let refuse = |message: String| SessionError::Pipeline { message };
        let found = outputs.iter().find(|(name, _)| *name == self.output);
        let (_, view) = found.ok_or_else(|| refuse(format!("there is no output '{}'", self.output)))?;
        let labels = &self.classes.labels;
        if view.len() != labels.len() {
            let (found, wanted) = (view.len(), labels.len());
            return Err(refuse(format!(
                "output '{}' has {found} scores for {wanted} labels",
                self.output
            )));
        }
        let mut scores: Vec<f32> = (0..view.len()).map(|i| element_at(view, i) as f32).collect();
        if self.classes.softmax {
            softmax(&mut scores);
        }
        if let Some(index) = scores.iter().position(|score| score.is_nan()) {
            return Err(refuse(format!(
                "the score of '{}' is not a number",
                labels[index].name
            )));
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        // The first of equals is the better one, as in an argmax.
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        order.truncate(top_k.unwrap_or(self.classes.top_k as usize).max(1));
        Ok(self.answer(&scores, &order))
    }

    fn answer(&self, scores: &[f32], order: &[usize]) -> Answer {
        // `order` is never empty: there are labels, and at least one is kept.
        let best = order.first().copied().unwrap_or(0);
        let (label, confidence) = (&self.classes.labels[best], scores[best]);
        let below_threshold = confidence < label.threshold.unwrap_or(self.classes.threshold);
        let scored = |&index: &usize| Scored {
            label: self.classes.labels[index].name.clone(),
            index,
            score: scores[index],
        };
        Answer {
            label: said(label, below_threshold).to_string(),
            confidence,
            top: order.iter().map(scored).collect(),
            rule: false,
            below_threshold,
            flagged: false,
        }
    }
}

fn said(label: &Label, below_threshold: bool) -> &str {
    let low = label.below_threshold.as_ref().filter(|_| below_threshold);
    low.or(label.answer.as_ref()).unwrap_or(&label.name)
}

fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|x| *x = (*x - max).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|x| *x /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_core::Tensor;

    fn classifier(softmax: bool) -> Classifier {
        let label = |name: &str| Label {
            name: name.to_string(),
            answer: None,
            threshold: None,
            below_threshold: None,
        };
        let mut labels = vec![label("a"), label("b"), label("c")];
        labels[1].answer = Some("B".to_string());
        labels[2].below_threshold = Some("unsure".to_string());
        labels[2].threshold = Some(0.9);
        Classifier::new(
            "y".to_string(),
            Classification {
                labels,
                softmax,
                top_k: 2,
                threshold: 0.0,
            },
        )
        .unwrap()
    }

    fn answer(softmax: bool, scores: [f32; 3]) -> Answer {
        let tensor = Tensor::from_slice(&[1, 3], &scores).unwrap();
        classifier(softmax)
            .classify(&[("y", tensor.view())], None)
            .unwrap()
    }

    #[test]
    fn the_best_label_wins() {
        let b = answer(false, [0.1, 0.7, 0.2]);
        assert_eq!((b.label.as_str(), b.confidence, b.top.len()), ("B", 0.7, 2));
        assert_eq!(b.top[1].label, "c");
        assert_eq!(answer(false, [0.5, 0.5, 0.0]).label, "a", "the first of equals");
    }

    #[test]
    fn a_low_score_is_said_otherwise() {
        let low = answer(false, [0.1, 0.1, 0.8]);
        assert_eq!((low.label.as_str(), low.below_threshold), ("unsure", true));
        assert_eq!(answer(false, [0.0, 0.05, 0.95]).label, "c");
    }

    #[test]
    fn logits_become_probabilities() {
        let sum: f32 = answer(true, [1000.0, 1000.0, 1000.0])
            .top
            .iter()
            .map(|scored| scored.score)
            .sum();
        assert!((sum - 2.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_score_is_refused() {
        let nan = Tensor::from_slice(&[3], &[0.0, f32::NAN, 0.0]).unwrap();
        assert!(classifier(false).classify(&[("y", nan.view())], None).is_err());
        let few = Tensor::from_slice(&[2], &[0.0f32, 1.0]).unwrap();
        assert!(classifier(false).classify(&[("y", few.view())], None).is_err());
        assert!(classifier(false).classify(&[], None).is_err());
    }
}

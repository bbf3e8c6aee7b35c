//! Whether what a manifest says can be meant: numbers that compare, names in one line.
//!
//! The packer asks before it writes, so that the recipe's author hears of it, and the reader asks of every bundle, so that
//! no later code meets a threshold that nothing reaches or a range that holds nothing.

use alloc::format;
use alloc::string::{String, ToString};

use crate::error::BundleError;
use crate::manifest::{Classification, ImageU8, Manifest, PostStep, PreStep};

/// Most bytes of a name or a version.
const MAX_WORD_LEN: usize = 256;

type Checked = Result<(), BundleError>;

fn fault(at: impl Into<String>, why: impl Into<String>) -> BundleError {
    BundleError::Manifest {
        at: at.into(),
        why: why.into(),
    }
}

impl Manifest {
    /// Checks that what the manifest says can be meant.
    ///
    /// # Errors
    /// [`BundleError::Manifest`] with the entry, its value and what is allowed. Entries are named as in a recipe.
    pub fn check(&self) -> Checked {
        one_line("name", &self.name)?;
        one_line("version", &self.version)?;
        for input in &self.inputs {
            let Some((low, high)) = input.range else { continue };
            // Not a number has no order, and is refused as well.
            if !(low <= high && low.is_finite() && high.is_finite()) {
                let why = format!("it is [{low}, {high}]; give two numbers, the lowest first");
                return Err(fault(format!("inputs.{}.range", input.name), why));
            }
        }
        for pre in &self.pre {
            if let PreStep::ImageU8(step) = &pre.step {
                image(&format!("inputs.{}.pre.ImageU8", pre.input), step)?;
            }
        }
        for post in &self.post {
            if let PostStep::Classification(step) = &post.step {
                classification(&format!("outputs.{}.classification", post.output), step)?;
            }
        }
        for (name, value) in &self.lineage.metrics {
            if !value.is_finite() {
                let why = format!("it is {value}; give a number");
                return Err(fault(format!("lineage.metrics.{name}"), why));
            }
        }
        match &self.cascade {
            Some(cascade) => {
                share("cascade.confidence_threshold", cascade.confidence_threshold)?;
                one_line("cascade.endpoint_model", &cascade.endpoint_model)
            }
            None => Ok(()),
        }
    }
}

fn one_line(at: &str, word: &str) -> Checked {
    if word.len() <= MAX_WORD_LEN && !word.chars().any(char::is_control) {
        return Ok(());
    }
    let shown: String = word.chars().take(40).collect();
    Err(fault(
        at,
        format!("it is {shown:?}; give at most {MAX_WORD_LEN} bytes in one line, without control characters"),
    ))
}

/// A score that an answer needs.
fn share(at: &str, value: f32) -> Checked {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(fault(at, format!("it is {value}; give a number from 0 to 1")))
}

fn classification(at: &str, step: &Classification) -> Checked {
    share(&format!("{at}.threshold"), step.threshold)?;
    if step.top_k == 0 {
        return Err(fault(
            format!("{at}.top_k"),
            "it is 0; an answer lists at least 1 label",
        ));
    }
    for label in &step.labels {
        one_line(&format!("{at}.labels"), &label.name)?;
        if let Some(threshold) = label.threshold {
            share(&format!("{at}.thresholds.{}", label.name), threshold)?;
        }
    }
    Ok(())
}

fn image(at: &str, step: &ImageU8) -> Checked {
    let numbers = |key: &str, list: &[f32; 3], fits: fn(f32) -> bool, wanted: &str| match list
        .iter()
        .find(|&&x| !(x.is_finite() && fits(x)))
    {
        Some(value) => Err(fault(
            format!("{at}.{key}"),
            format!("{value} is in it; {wanted}"),
        )),
        None => Ok(()),
    };
    numbers("mean", &step.mean, |_| true, "give three numbers")?;
    numbers(
        "std",
        &step.std,
        |x| x != 0.0,
        "give three numbers, none of them 0: channels are divided by them",
    )?;
    if step.height == 0 || step.width == 0 {
        let why = format!("height {} and width {}; give at least 1", step.height, step.width);
        return Err(fault(at.to_string(), why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::manifest::{
        CascadeDefaults, Channels, ImageLayout, Label, PostProcessing, PreProcessing, Resize, ValueSpec,
    };
    use alloc::vec;

    fn sound() -> Manifest {
        let input = ValueSpec {
            name: "x".into(),
            dtype: DType::F32,
            dims: vec![],
            range: Some((0.0, 1.0)),
            layout: None,
            semantic: None,
        };
        let image = ImageU8 {
            height: 1,
            width: 1,
            layout: ImageLayout::Nchw,
            channels: Channels::Rgb,
            mean: [0.0; 3],
            std: [1.0; 3],
            resize: Resize::Stretch,
        };
        let label = Label {
            name: "cat".into(),
            answer: None,
            threshold: Some(1.0),
            below_threshold: None,
        };
        let classes = Classification {
            labels: vec![label],
            softmax: false,
            top_k: 1,
            threshold: 0.0,
        };
        let mut manifest = Manifest {
            name: "cats".into(),
            version: "1".into(),
            inputs: vec![input],
            pre: vec![PreProcessing {
                input: "x".into(),
                step: PreStep::ImageU8(image),
            }],
            post: vec![PostProcessing {
                output: "y".into(),
                step: PostStep::Classification(classes),
            }],
            cascade: Some(CascadeDefaults {
                confidence_threshold: 0.5,
                endpoint_model: "cats".into(),
            }),
            ..Manifest::default()
        };
        manifest.lineage.metrics = vec![("top1".into(), 0.9)];
        manifest
    }

    fn classes(manifest: &mut Manifest) -> &mut Classification {
        match &mut manifest.post[0].step {
            PostStep::Classification(classes) => classes,
            PostStep::Raw => unreachable!(),
        }
    }

    fn pixels(manifest: &mut Manifest) -> &mut ImageU8 {
        match &mut manifest.pre[0].step {
            PreStep::ImageU8(image) => image,
            _ => unreachable!(),
        }
    }

    #[test]
    fn what_cannot_be_meant_is_named_with_its_value() {
        assert_eq!(sound().check(), Ok(()));
        type Spoil = fn(&mut Manifest);
        let cases: &[(&str, &str, Spoil)] = &[
            ("name", "\"a\\nb\"", |m| m.name = "a\nb".into()),
            ("version", "\"1\\u{7}\"", |m| m.version = "1\u{7}".into()),
            ("version", "in one line", |m| m.version = "9".repeat(257)),
            ("inputs.x.range", "[2, 1]", |m| {
                m.inputs[0].range = Some((2.0, 1.0))
            }),
            ("inputs.x.range", "NaN", |m| {
                m.inputs[0].range = Some((f64::NAN, 1.0))
            }),
            ("inputs.x.range", "inf", |m| {
                m.inputs[0].range = Some((0.0, f64::INFINITY))
            }),
            ("inputs.x.pre.ImageU8.std", "none of them 0", |m| {
                pixels(m).std[1] = 0.0
            }),
            ("inputs.x.pre.ImageU8.std", "inf", |m| {
                pixels(m).std[1] = f32::INFINITY
            }),
            ("inputs.x.pre.ImageU8.mean", "NaN", |m| {
                pixels(m).mean[2] = f32::NAN
            }),
            ("inputs.x.pre.ImageU8", "width 0", |m| pixels(m).width = 0),
            ("outputs.y.classification.threshold", "NaN", |m| {
                classes(m).threshold = f32::NAN
            }),
            ("outputs.y.classification.threshold", "inf", |m| {
                classes(m).threshold = f32::INFINITY
            }),
            ("outputs.y.classification.threshold", "-0.1", |m| {
                classes(m).threshold = -0.1
            }),
            ("outputs.y.classification.top_k", "0", |m| classes(m).top_k = 0),
            ("outputs.y.classification.thresholds.cat", "1.5", |m| {
                classes(m).labels[0].threshold = Some(1.5);
            }),
            ("outputs.y.classification.labels", "\\r", |m| {
                classes(m).labels[0].name = "\r".into()
            }),
            ("lineage.metrics.top1", "NaN", |m| {
                m.lineage.metrics[0].1 = f64::NAN
            }),
            ("cascade.confidence_threshold", "2", |m| {
                m.cascade.as_mut().unwrap().confidence_threshold = 2.0;
            }),
            ("cascade.endpoint_model", "\\n", |m| {
                m.cascade.as_mut().unwrap().endpoint_model = "\n".into();
            }),
        ];
        for (at, said, spoil) in cases {
            let mut manifest = sound();
            spoil(&mut manifest);
            let error = manifest.check().unwrap_err();
            assert!(
                matches!(&error, BundleError::Manifest { at: found, why } if found == at && why.contains(said)),
                "{at}: {error}"
            );
            // A bundle that says so is not read, either.
            let bytes = manifest.encode().unwrap();
            assert_eq!(Manifest::decode(&bytes, 0), Err(error));
        }
    }
}

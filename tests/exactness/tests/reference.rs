//! The reference operators give the vectors' bytes, and so does NumPy.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_core::op::InputFact;
use sanderling_core::ops::common::requantise::{Multiplier, Requantise};
use sanderling_core::{Attrs, OpTable, Tensor, TensorType, infer, ops};
use sanderling_exactness::{Vector, digests, requantisations, vectors};

fn by_reference(vector: &Vector) -> Result<Tensor, String> {
    let op = OpTable(ops::ALL)
        .find(vector.domain, &vector.op, vector.opset)
        .ok_or("no such operator")?;
    let attrs = Attrs::of_graph(&vector.attributes);
    let types: Vec<Option<TensorType>> = vector.inputs.iter().map(|t| t.as_ref().map(Tensor::ty)).collect();
    let facts: Vec<Option<InputFact<'_>>> = types
        .iter()
        .map(|ty| {
            ty.as_ref().map(|ty| InputFact {
                ty,
                data: None,
                dims: None,
            })
        })
        .collect();
    let inferred = infer::apply(op, attrs, vector.opset, &facts, 1, 0).map_err(|e| e.to_string())?;
    let types: Vec<TensorType> = inferred.into_iter().filter_map(|fact| fact.ty).collect();
    let views: Vec<_> = vector
        .inputs
        .iter()
        .map(|t| t.as_ref().map(Tensor::view))
        .collect();
    let found = infer::eval(op, attrs, vector.opset, &views, &types).map_err(|e| e.to_string())?;
    found.into_iter().next().ok_or("no output".into())
}

#[test]
fn the_reference_gives_every_vector() {
    let all = vectors().unwrap();
    assert!(all.len() > 80, "only {} vectors", all.len());
    let wrong: Vec<String> = all
        .iter()
        .filter_map(|vector| match by_reference(vector) {
            Ok(found) if found == vector.output => None,
            Ok(_) => Some(format!("{}: other bytes", vector.name)),
            Err(error) => Some(format!("{}: {error}", vector.name)),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn floats_and_integers_requantise_alike() {
    let all = requantisations().unwrap();
    assert!(all.len() > 6000, "only {} rows", all.len());
    for row in all {
        let multiplier = Multiplier::new(row.multiplier).unwrap();
        let output = Requantise::to(row.dtype, row.zero).unwrap();
        assert_eq!(output.apply(row.acc, multiplier), row.output, "floats: {row:?}");
        assert_eq!(
            output.apply_in_integers(row.acc, multiplier),
            row.output,
            "integers: {row:?}"
        );
    }
}

#[test]
fn digests_are_of_type_shape_and_bytes() {
    for row in digests().unwrap() {
        let digest = row.tensor.view().digest();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, row.sha256, "{:?}", row.tensor.ty());
    }
}

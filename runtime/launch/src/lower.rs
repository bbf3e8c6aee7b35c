//! The walk over a segment: values get places, nodes become steps, and at the end the places get addresses.
//!
//! While operators are lowered, a step refers to a place; only when every step is known are the lives of all places known
//! and the arena laid out. Then offsets are added to what the steps' first parameters already hold (0, or where a
//! part of a tensor begins).

use crate::kernel::{Copy, Parameters};
use crate::layout::Layout;
use crate::node::Seen;
use crate::ops::LaunchTable;
use crate::program::{Border, Limits, Program, Step};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sanderling_core::backend::Segment;
use sanderling_core::error::CoreError;
use sanderling_core::memory::{self, Lifetime};
use sanderling_core::ops::common::qlinear::{Operand, Quantisation};
use sanderling_core::plan::ValueKind;
use sanderling_core::{OpError, Tensor, TensorType, TensorView, ValueId};

/// Alignment of a tensor in the arena, bytes: four words, for devices that read vectors.
const ALIGNMENT: u64 = 16;

/// A tensor on the device, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

struct Placed {
    layout: Layout,
    /// Step that writes it first.
    first: usize,
    /// Last step that reads or writes it.
    last: usize,
    /// Its content where that is known; it keeps its words for ever.
    preset: Option<Vec<u32>>,
}

/// A segment that is being lowered.
pub struct Lowering<'a> {
    segment: &'a Segment<'a>,
    node: usize,
    steps: Vec<Step>,
    /// For each step, the places of its first parameters.
    refers: Vec<Vec<Place>>,
    places: Vec<Placed>,
    /// By value: its places, in several layouts.
    of_value: Vec<Vec<Place>>,
    constants: Vec<u32>,
}

impl<'a> Lowering<'a> {
    pub(crate) fn new(segment: &'a Segment<'a>) -> Self {
        Self {
            segment,
            node: 0,
            steps: Vec::new(),
            refers: Vec::new(),
            places: Vec::new(),
            of_value: alloc::vec![Vec::new(); segment.plan.value_count()],
            constants: Vec::new(),
        }
    }

    /// The node that is being lowered.
    #[must_use]
    pub fn node(&self) -> Seen<'a> {
        Seen {
            node: self.segment.plan.node(self.node),
            facts: self.segment.facts,
        }
    }

    /// An input of the node.
    ///
    /// # Errors
    /// [`OpError::MissingInput`].
    pub fn input(&self, index: usize) -> Result<ValueId, OpError> {
        self.node().input(index).ok_or(OpError::MissingInput { index })
    }

    /// The node's output.
    ///
    /// # Errors
    /// [`OpError::Unsupported`] where it has several.
    pub fn output(&self) -> Result<ValueId, OpError> {
        let output = self.node().output();
        output.ok_or_else(|| OpError::unsupported("several outputs"))
    }

    /// A value's shape.
    ///
    /// # Errors
    /// [`OpError::Shape`] where it is not known.
    pub fn shape(&self, value: ValueId) -> Result<Vec<usize>, OpError> {
        let known = self.node().ty(value).map(|(_, shape)| shape);
        known.ok_or_else(|| OpError::shape("a shape is not known"))
    }

    /// An input's data, where it is known before a run.
    #[must_use]
    pub fn known(&self, index: usize) -> Option<TensorView<'a>> {
        self.data(self.node().input(index)?)
    }

    fn data(&self, value: ValueId) -> Option<TensorView<'a>> {
        match self.segment.plan.value(value).kind {
            ValueKind::Constant(index) => self.segment.constants.get(index),
            _ => self.segment.facts.data(value).map(Tensor::view),
        }
    }

    /// An operand's scales and zero points.
    ///
    /// # Errors
    /// [`OpError::NotConstant`] where a run computes them, and as [`Quantisation::new`].
    pub fn quantisation(&self, operand: Operand) -> Result<Quantisation, OpError> {
        let scale = self.known(operand.scale);
        let scale = scale.ok_or(OpError::NotConstant { index: operand.scale })?;
        Quantisation::new(scale, self.known(operand.scale + 1))
    }

    /// How a value is laid out so far; none while nothing has asked for it.
    #[must_use]
    pub fn layout(&self, value: ValueId) -> Option<&Layout> {
        let place = self.of_value[value.index()].first()?;
        Some(&self.places[place.0].layout)
    }

    /// A value in this layout, whose shape may have further leading axes of 1: where it is, or a copy.
    ///
    /// # Errors
    /// [`OpError::Unsupported`] where no kernel copies between the layouts.
    pub fn operand(&mut self, value: ValueId, layout: &Layout) -> Result<Place, OpError> {
        let rank = layout.shape().len();
        let first = match self.of_value[value.index()].first() {
            Some(&place) => place,
            None => self.first_place(value, layout)?,
        };
        let there = |place: &&Place| aligned(&self.places[place.0].layout, rank).as_ref() == Some(layout);
        if let Some(&place) = self.of_value[value.index()].iter().find(there) {
            return Ok(place);
        }
        let place = self.relaid(first, layout)?;
        self.of_value[value.index()].push(place);
        Ok(place)
    }

    /// A place for a value that nothing has asked for, under its own axes: as `layout` has them, if it packs one of them.
    fn first_place(&mut self, value: ValueId, layout: &Layout) -> Result<Place, OpError> {
        let own = self.shape(value)?;
        let more = layout.shape().len().saturating_sub(own.len().max(1));
        let layout = match layout.axis().checked_sub(more) {
            Some(axis) => Layout::new(&own, axis),
            None => Layout::usual(&own),
        };
        let preset = self.data(value).map(|data| layout.pack(data.bytes()));
        let place = self.place(layout, preset);
        self.of_value[value.index()].push(place);
        Ok(place)
    }

    fn relaid(&mut self, from: Place, layout: &Layout) -> Result<Place, OpError> {
        let rank = layout.shape().len();
        let have = aligned(&self.places[from.0].layout, rank)
            .filter(|have| have.shape() == layout.shape())
            .ok_or_else(|| OpError::shape("an operand has more axes than the result"))?;
        let to = self.place(layout.clone(), None);
        let same: Vec<Walk> = (0..rank).map(Walk::along).collect();
        self.copy(
            (from, &have),
            (to, layout),
            &alloc::vec![0; rank],
            layout.shape(),
            &same,
        )?;
        Ok(to)
    }

    /// A place for a value that the node computes.
    pub fn result(&mut self, value: ValueId, layout: Layout) -> Place {
        let place = self.place(layout, None);
        self.of_value[value.index()].push(place);
        place
    }

    fn place(&mut self, layout: Layout, preset: Option<Vec<u32>>) -> Place {
        self.places.push(Placed {
            layout,
            first: self.steps.len(),
            last: self.steps.len(),
            preset,
        });
        Place(self.places.len() - 1)
    }

    /// Puts words among the constants and says where.
    pub fn constant(&mut self, words: impl IntoIterator<Item = u32>) -> u32 {
        let offset = self.constants.len();
        self.constants.extend(words);
        offset as u32
    }

    /// Adds a launch. Its first parameters are the words in `places` at which it begins, which are added to later.
    pub fn launch<P: Parameters>(&mut self, threads: usize, places: &[Place], params: &P) {
        let step = self.steps.len();
        for place in places {
            self.places[place.0].last = step;
        }
        self.refers.push(places.to_vec());
        self.steps.push(Step::new(self.node, threads as u32, params));
    }

    /// Copies a box: `sizes` elements from `begins` on of the output, each axis of the source walked as `walks` says.
    ///
    /// # Errors
    /// [`OpError::Unsupported`] for more than five axes; [`OpError::Shape`] where it would leave either tensor.
    pub fn copy(
        &mut self,
        (from, x): (Place, &Layout),
        (to, y): (Place, &Layout),
        begins: &[usize],
        sizes: &[usize],
        walks: &[Walk],
    ) -> Result<(), OpError> {
        let outer: Vec<usize> = y.outer().collect();
        if outer.len() > 4 {
            return Err(OpError::unsupported("a copy over more than five axes"));
        }
        hold_inside(x, y, begins, sizes, walks)?;
        let pad = 4 - outer.len();
        let (mut dims, mut y_strides) = ([1u32; 4], [0u32; 4]);
        let (mut y_start, mut x_start, mut x_lane) = (0u32, 0u32, 0u32);
        for (k, &axis) in outer.iter().enumerate() {
            dims[pad + k] = sizes[axis] as u32;
            y_strides[pad + k] = y.stride(axis) as u32;
            y_start += (begins[axis] * y.stride(axis)) as u32;
        }
        let slot = |axis: usize| outer.iter().position(|&o| o == axis).map_or(4, |k| pad + k);
        // Along the four outer axes and the packed one.
        let (mut words, mut lanes) = ([0i32; 5], [0i32; 5]);
        for (axis, walk) in walks.iter().enumerate() {
            let stride = x.stride(axis) as i32;
            if axis == x.axis() {
                x_lane = x_lane.wrapping_add(walk.start as u32);
            } else {
                x_start = x_start.wrapping_add((walk.start as i32).wrapping_mul(stride) as u32);
            }
            let Some((along, step)) = walk.along else { continue };
            if axis == x.axis() {
                lanes[slot(along)] += step as i32;
            } else {
                words[slot(along)] += step as i32 * stride;
            }
        }
        let (begin, len) = (begins[y.axis()], sizes[y.axis()]);
        let first = begin % crate::layout::LANES;
        let packed = (first + len).div_ceil(crate::layout::LANES);
        let rows: usize = outer.iter().map(|&axis| sizes[axis]).product();
        let [x0, x1, x2, x3, xp] = words.map(|w| w as u32);
        let [l0, l1, l2, l3, lp] = lanes.map(|l| l as u32);
        let [y0, y1, y2, y3] = y_strides;
        let params = Copy {
            x: x_start,
            y: y_start + (begin / crate::layout::LANES) as u32,
            words: (rows * packed) as u32,
            packed: packed as u32,
            first: first as u32,
            len: len as u32,
            dim1: dims[1],
            dim2: dims[2],
            dim3: dims[3],
            y0,
            y1,
            y2,
            y3,
            x0,
            x1,
            x2,
            x3,
            xp,
            l0,
            l1,
            l2,
            l3,
            lp,
            x_lane,
        };
        if rows * packed > 0 {
            self.launch(rows * packed, &[from, to], &params);
        }
        Ok(())
    }

    /// Lowers every node and lays out the arena.
    pub(crate) fn run(mut self, table: LaunchTable, limits: Limits) -> Result<Program, CoreError> {
        let segment = self.segment;
        for index in segment.nodes.clone() {
            let node = segment.plan.node(index);
            if segment.facts.is_folded(&node) {
                continue;
            }
            self.node = index;
            let lowered = match table.find(&self.node()) {
                Some(op) => op.lower(&mut self),
                None => Err(OpError::unsupported("a node that this backend has no kernel for")),
            };
            lowered.map_err(|source| {
                let types = node
                    .inputs()
                    .map(|id| match id.and_then(|id| segment.facts.ty(id)) {
                        Some(ty) => ty.to_string(),
                        None => "-".to_string(),
                    });
                let types: Vec<String> = types.collect();
                CoreError::at(node.display_name(), types.join(", "), source)
            })?;
        }
        self.finish(limits)
    }

    fn finish(mut self, limits: Limits) -> Result<Program, CoreError> {
        let (segment, end) = (self.segment, self.steps.len());
        let inputs = self.borders(segment.inputs)?;
        let outputs = self.borders(segment.outputs)?;
        for border in &inputs {
            self.places[border.1.0].first = 0;
        }
        for border in &outputs {
            self.places[border.1.0].last = end;
        }
        let lives: Vec<Lifetime> = self.places.iter().map(|placed| life(placed, end)).collect();
        let room = limits.buffer.min(limits.memory).min(segment.memory_limit);
        let layout = memory::plan(&lives, ALIGNMENT, room)?;
        let constants = self.constants.len() as u64 * 4;
        let total = constants.saturating_add(layout.len);
        if constants > limits.buffer || total > limits.memory.min(segment.memory_limit) {
            return Err(CoreError::TooLarge {
                what: "weights and intermediates on the device".to_string(),
                bytes: total,
                limit: room,
            });
        }
        let offset = |place: Place| (layout.offsets[place.0] / 4) as u32;
        for (step, refers) in self.steps.iter_mut().zip(&self.refers) {
            for (param, place) in step.params.iter_mut().zip(refers) {
                *param = param.wrapping_add(offset(*place));
            }
        }
        let located = |borders: Vec<(Border, Place)>| -> Vec<Border> {
            let with_offset = |(border, place)| Border {
                offset: offset(place),
                ..border
            };
            borders.into_iter().map(with_offset).collect()
        };
        let (inputs, outputs) = (located(inputs), located(outputs));
        let places = self.places.into_iter().enumerate();
        let preset = places.filter_map(|(i, placed)| Some((offset(Place(i)), placed.preset?)));
        Ok(Program {
            preset: preset.collect(),
            steps: self.steps,
            constants: self.constants,
            arena: (layout.len / 4) as u32,
            inputs,
            outputs,
        })
    }

    /// Where values lie; those that nothing asked for get a place that nothing uses.
    fn borders(&mut self, values: &[ValueId]) -> Result<Vec<(Border, Place)>, CoreError> {
        let plan = self.segment.plan;
        let mut borders = Vec::with_capacity(values.len());
        for &value in values {
            let ty = self.segment.facts.ty(value);
            let shape = ty.and_then(TensorType::concrete);
            let (Some(ty), Some(shape)) = (ty, shape) else {
                let message = format!("the shape of '{}' is not known", plan.value(value).name);
                return Err(CoreError::Graph { message });
            };
            let place = match self.of_value[value.index()].first() {
                Some(&place) => place,
                None => self.place(Layout::usual(&shape), None),
            };
            let border = Border {
                value,
                ty: ty.clone(),
                layout: self.places[place.0].layout.clone(),
                offset: 0,
            };
            borders.push((border, place));
        }
        Ok(borders)
    }
}

/// Steps at which a place's words must be its own; what is preset, at all.
fn life(placed: &Placed, end: usize) -> Lifetime {
    let bytes = placed.layout.words() as u64 * 4;
    let (first, last) = match placed.preset {
        Some(_) => (0, end),
        None => (placed.first, placed.last),
    };
    Lifetime {
        bytes,
        first: first as u32,
        last: last as u32,
    }
}

/// The same layout under leading axes of 1; none where it has more axes.
fn aligned(layout: &Layout, rank: usize) -> Option<Layout> {
    let more = rank.checked_sub(layout.shape().len())?;
    let mut shape = alloc::vec![1; more];
    shape.extend_from_slice(layout.shape());
    Some(Layout::new(&shape, layout.axis() + more))
}

/// Holds that a copy leaves neither of its tensors.
fn hold_inside(
    x: &Layout,
    y: &Layout,
    begins: &[usize],
    sizes: &[usize],
    walks: &[Walk],
) -> Result<(), OpError> {
    let mut axes = begins.iter().zip(sizes).zip(y.shape());
    let mut walks = walks.iter().zip(x.shape());
    if axes.all(|((begin, size), &n)| begin + size <= n) && walks.all(|(walk, &n)| walk.stays_in(n, sizes)) {
        return Ok(());
    }
    Err(OpError::shape("a copy would leave its tensors"))
}

/// How a copy walks an axis of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// The index for the box's first element.
    pub start: i64,
    /// The axis of the output along which it moves, and by how much; none where it stays.
    pub along: Option<(usize, i64)>,
}

impl Walk {
    /// Whether all of a walk over a box of these sizes is inside an axis.
    fn stays_in(&self, axis: usize, sizes: &[usize]) -> bool {
        let (along, step) = self.along.map_or((0, 0), |(along, step)| (sizes[along], step));
        let last = i128::from(self.start) + i128::from(step) * (along as i128 - 1).max(0);
        let is_inside = |index: i128| (0..axis as i128).contains(&index);
        sizes.contains(&0) || (is_inside(i128::from(self.start)) && is_inside(last))
    }

    /// Element by element along an axis.
    #[must_use]
    pub fn along(axis: usize) -> Self {
        Self {
            start: 0,
            along: Some((axis, 1)),
        }
    }
}

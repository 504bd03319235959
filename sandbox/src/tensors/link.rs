//! The `tensors` and `random` interfaces of `compute/wit/world.wit`.
//!
//! Each function makes an [`Op`], which is checked, paid for, and then done; or it looks at
//! elements, which ends a recording.

use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType, WasmList};
use wasmtime::{Result, StoreContextMut, Trap};

use super::ops::{Change, Combine, Kernel, Op, Product, require};
use super::{NotRecorded, Tensor, TensorError, kernels};
use crate::fuel;
use crate::instance::State;
use crate::limits::MAX_PIECE_ELEMENTS;
use crate::offer::{RANDOM, TENSORS};

type Store<'a> = StoreContextMut<'a, State>;
type Handle = Resource<Tensor>;

/// Defines everything that a component may import.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    let mut instance = linker.instance(TENSORS)?;
    resource(&mut instance)?;
    copies(&mut instance)?;
    looks(&mut instance)?;
    vectors(&mut instance)?;
    matrices(&mut instance)?;
    elementwise(&mut instance)?;
    random(&mut linker.instance(RANDOM)?)
}

/// Takes fuel, or ends the instance.
fn charge(store: &mut Store<'_>, cost: Option<u64>) -> Result<()> {
    let left = store.get_fuel()?;
    let left = cost.and_then(|cost| left.checked_sub(cost)).ok_or(Trap::OutOfFuel)?;
    store.set_fuel(left)
}

/// Does what the guest asks for. Gives the tensor that it makes, if it makes one.
fn run(store: &mut Store<'_>, op: Op) -> Result<Option<u32>> {
    let cost = op.check(&store.data().tensors)?;
    charge(store, cost)?;
    let State { tensors, random, recording, .. } = store.data_mut();
    let made = op.apply(tensors, random)?;
    if let Some(recording) = recording {
        recording.push(op)?;
    }
    Ok(made)
}

/// What changes a tensor.
fn change(store: &mut Store<'_>, op: Op) -> Result<()> {
    run(store, op).map(drop)
}

/// What makes a tensor.
fn make(store: &mut Store<'_>, op: Op) -> Result<(Handle,)> {
    let made = run(store, op)?.ok_or(TensorError::Unknown)?;
    Ok((Handle::new_own(made),))
}

/// Charges for a look at elements by a function of this name, or for something else that
/// another unit may find otherwise.
fn look(store: &mut Store<'_>, name: &'static str, cost: Option<u64>) -> Result<()> {
    charge(store, cost)?;
    if store.data().recording.is_some() { Err(NotRecorded::Look(name).into()) } else { Ok(()) }
}

fn get<'a>(store: &'a Store<'_>, handle: &Handle) -> Result<&'a Tensor, TensorError> {
    store.data().tensors.get(handle.rep())
}

fn values<'a>(store: &'a mut Store<'_>, handle: &Handle) -> Result<&'a [f32], TensorError> {
    store.data_mut().tensors.values(handle.rep())
}

fn len(store: &Store<'_>, handle: &Handle) -> Result<usize, TensorError> {
    Ok(get(store, handle)?.len())
}

fn resource(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.resource("tensor", ResourceType::host::<Tensor>(), |mut store, rep| {
        change(&mut store, Op::Drop(rep))
    })?;
    instance.func_wrap(
        "[constructor]tensor",
        |mut store: Store<'_>, (rows, columns): (u32, u32)| {
            make(&mut store, Op::Zeros { rows, columns })
        },
    )?;
    instance.func_wrap("[method]tensor.rows", |mut store: Store<'_>, (this,): (Handle,)| {
        charge(&mut store, fuel::simple(0))?;
        Ok((get(&store, &this)?.rows,))
    })?;
    instance.func_wrap("[method]tensor.columns", |mut store: Store<'_>, (this,): (Handle,)| {
        charge(&mut store, fuel::simple(0))?;
        Ok((get(&store, &this)?.columns,))
    })?;
    instance.func_wrap(
        "[method]tensor.set",
        |mut store: Store<'_>, (this, row, column, value): (Handle, u32, u32, f32)| {
            change(&mut store, Op::Set { x: this.rep(), row, column, value })
        },
    )?;
    instance.func_wrap(
        "[method]tensor.write",
        |mut store: Store<'_>, (this, offset, values): (Handle, u32, WasmList<f32>)| {
            require(values.len() <= MAX_PIECE_ELEMENTS, TensorError::Range)?;
            let values = values.iter(&mut store)?.collect::<Result<_>>()?;
            change(&mut store, Op::Write { x: this.rep(), offset, values })
        },
    )
}

fn copies(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap(
        "[method]tensor.view",
        |mut store: Store<'_>, (this, offset, rows, columns): (Handle, u32, u32, u32)| {
            make(&mut store, Op::View { x: this.rep(), offset, rows, columns })
        },
    )?;
    instance.func_wrap(
        "[method]tensor.slice",
        |mut store: Store<'_>, (this, first, rows): (Handle, u32, u32)| {
            make(&mut store, Op::Slice { x: this.rep(), first, rows })
        },
    )?;
    instance.func_wrap(
        "[method]tensor.slice-columns",
        |mut store: Store<'_>, (this, first, columns): (Handle, u32, u32)| {
            make(&mut store, Op::SliceColumns { x: this.rep(), first, columns })
        },
    )?;
    instance.func_wrap(
        "[method]tensor.append-column",
        |mut store: Store<'_>, (this, value): (Handle, f32)| {
            make(&mut store, Op::AppendColumn { x: this.rep(), value })
        },
    )?;
    instance.func_wrap("join", |mut store: Store<'_>, (parts,): (Vec<Handle>,)| {
        make(&mut store, Op::Join(parts.iter().map(Handle::rep).collect()))
    })
}

/// What lets the guest see elements.
fn looks(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap(
        "[method]tensor.get",
        |mut store: Store<'_>, (this, row, column): (Handle, u32, u32)| {
            look(&mut store, "get", fuel::simple(0))?;
            let index = get(&store, &this)?.index(row, column)?;
            Ok((values(&mut store, &this)?[index],))
        },
    )?;
    instance.func_wrap(
        "[method]tensor.read",
        |mut store: Store<'_>, (this, offset, count): (Handle, u32, u32)| {
            look(&mut store, "read", fuel::transcendental(count as usize))?;
            let piece = get(&store, &this)?.piece(offset, count as usize)?;
            Ok((values(&mut store, &this)?[piece].to_vec(),))
        },
    )?;
    instance.func_wrap("dot", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        let (x_len, y_len) = (len(&store, &x)?, len(&store, &y)?);
        require(x_len == y_len, TensorError::Shape)?;
        look(&mut store, "dot", fuel::simple(x_len))?;
        let tensors = &mut store.data_mut().tensors;
        tensors.write_down(x.rep())?;
        tensors.write_down(y.rep())?;
        let (x, y) = (tensors.get(x.rep())?, tensors.get(y.rep())?);
        Ok((kernels::dot(x.values(), y.values()),))
    })?;
    instance.func_wrap("sum", |mut store: Store<'_>, (x,): (Handle,)| {
        let cost = fuel::simple(len(&store, &x)?);
        look(&mut store, "sum", cost)?;
        Ok((kernels::sum(values(&mut store, &x)?),))
    })?;
    instance.func_wrap("nrm2", |mut store: Store<'_>, (x,): (Handle,)| {
        let cost = fuel::simple(len(&store, &x)?);
        look(&mut store, "nrm2", cost)?;
        let x = values(&mut store, &x)?;
        Ok((kernels::dot(x, x).sqrt(),))
    })
}

/// Kernels of two tensors of one shape, from x to y.
const PAIRS: [(&str, Kernel); 5] = [
    ("copy", kernels::copy),
    ("div", kernels::div),
    // From the output of a function and a gradient to that of its input.
    ("sigmoid-backward", kernels::sigmoid_backward),
    ("tanh-backward", kernels::tanh_backward),
    ("relu-backward", kernels::relu_backward),
];

fn vectors(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap("axpy", |mut store: Store<'_>, (alpha, x, y): (f32, Handle, Handle)| {
        combine(&mut store, Combine::Axpy(alpha), &x, &y)
    })?;
    instance.func_wrap("add", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        combine(&mut store, Combine::Add, &x, &y)
    })?;
    instance.func_wrap("mul", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        combine(&mut store, Combine::Mul, &x, &y)
    })?;
    for (name, kernel) in PAIRS {
        instance.func_wrap(name, move |mut store: Store<'_>, (x, y): (Handle, Handle)| {
            combine(&mut store, Combine::With(kernel), &x, &y)
        })?;
    }
    instance.func_wrap("sum-rows", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        change(&mut store, Op::SumRows { x: x.rep(), y: y.rep() })
    })?;
    instance.func_wrap("sum-columns", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        change(&mut store, Op::SumColumns { x: x.rep(), y: y.rep() })
    })
}

fn combine(store: &mut Store<'_>, how: Combine, x: &Handle, y: &Handle) -> Result<()> {
    change(store, Op::Combine { how, x: x.rep(), y: y.rep() })
}

fn matrices(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap(
        "gemv",
        |mut store: Store<'_>,
         (transpose, alpha, a, x, beta, y): (bool, f32, Handle, Handle, f32, Handle)| {
            let [a, b, c] = [a.rep(), x.rep(), y.rep()];
            let transpose = [transpose, false];
            let product = Product { transpose, alpha, a, b, beta, c, vector: true };
            change(&mut store, Op::Product(product))
        },
    )?;
    instance.func_wrap(
        "gemm",
        |mut store: Store<'_>,
         (transpose_a, transpose_b, alpha, a, b, beta, c): (
            bool,
            bool,
            f32,
            Handle,
            Handle,
            f32,
            Handle,
        )| {
            let [a, b, c] = [a.rep(), b.rep(), c.rep()];
            let transpose = [transpose_a, transpose_b];
            let product = Product { transpose, alpha, a, b, beta, c, vector: false };
            change(&mut store, Op::Product(product))
        },
    )?;
    instance.func_wrap(
        "ger",
        |mut store: Store<'_>, (alpha, x, y, a): (f32, Handle, Handle, Handle)| {
            change(&mut store, Op::Ger { alpha, x: x.rep(), y: y.rep(), a: a.rep() })
        },
    )
}

/// Changes that take nothing but the tensor.
const CHANGES: [(&str, Change); 8] = [
    ("relu", Change::Relu),
    ("sqrt", Change::Sqrt),
    ("sigmoid", Change::Sigmoid),
    ("tanh", Change::Tanh),
    ("exp", Change::Exp),
    ("log", Change::Log),
    ("softmax", Change::Softmax),
    ("log-softmax", Change::LogSoftmax),
];

fn elementwise(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    for (name, what) in CHANGES {
        instance.func_wrap(name, move |mut store: Store<'_>, (x,): (Handle,)| {
            change(&mut store, Op::Change(what, x.rep()))
        })?;
    }
    instance.func_wrap("fill", |mut store: Store<'_>, (x, value): (Handle, f32)| {
        change(&mut store, Op::Change(Change::Fill(value), x.rep()))
    })?;
    instance.func_wrap("scal", |mut store: Store<'_>, (alpha, x): (f32, Handle)| {
        change(&mut store, Op::Change(Change::Scal(alpha), x.rep()))
    })?;
    instance.func_wrap("clamp", |mut store: Store<'_>, (x, low, high): (Handle, f32, f32)| {
        change(&mut store, Op::Change(Change::Clamp(low, high), x.rep()))
    })?;
    instance.func_wrap("step", |mut store: Store<'_>, (x, threshold): (Handle, f32)| {
        change(&mut store, Op::Change(Change::Step(threshold), x.rep()))
    })
}

fn random(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap("next", |mut store: Store<'_>, (): ()| {
        look(&mut store, "random::next", fuel::transcendental(64))?;
        Ok((store.data_mut().random.next(),))
    })?;
    instance.func_wrap("uniform", |mut store: Store<'_>, (x, low, high): (Handle, f32, f32)| {
        change(&mut store, Op::Uniform { x: x.rep(), low, high })
    })?;
    instance.func_wrap(
        "normal",
        |mut store: Store<'_>, (x, mean, deviation): (Handle, f32, f32)| {
            change(&mut store, Op::Normal { x: x.rep(), mean, deviation })
        },
    )
}

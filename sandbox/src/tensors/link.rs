//! The `tensors` and `random` interfaces of `compute/wit/world.wit`.
//!
//! Each function looks its operands up, checks shapes, charges fuel, and only then
//! computes.

use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType, WasmList};
use wasmtime::{Result, StoreContextMut, Trap};

use super::kernels::{self, Gemm};
use super::{Data, Tensor, TensorError, elements};
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
    join(&mut instance)?;
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

fn require(condition: bool, error: TensorError) -> Result<(), TensorError> {
    if condition { Ok(()) } else { Err(error) }
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
        charge(&mut store, fuel::simple(0))?;
        store.data_mut().tensors.remove(rep)?;
        Ok(())
    })?;
    instance.func_wrap(
        "[constructor]tensor",
        |mut store: Store<'_>, (rows, columns): (u32, u32)| {
            charge(&mut store, fuel::simple(elements(rows, columns)?))?;
            let tensor = store.data_mut().tensors.zeros(rows, columns)?;
            Ok((Handle::new_own(tensor),))
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
    pieces(instance)?;
    copies(instance)
}

fn pieces(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap(
        "[method]tensor.get",
        |mut store: Store<'_>, (this, row, column): (Handle, u32, u32)| {
            charge(&mut store, fuel::simple(0))?;
            let index = get(&store, &this)?.index(row, column)?;
            Ok((values(&mut store, &this)?[index],))
        },
    )?;
    instance.func_wrap(
        "[method]tensor.set",
        |mut store: Store<'_>, (this, row, column, value): (Handle, u32, u32, f32)| {
            charge(&mut store, fuel::simple(0))?;
            let tensor = store.data_mut().tensors.get_mut(this.rep())?;
            let index = tensor.index(row, column)?;
            tensor.values_mut()?[index] = value;
            Ok(())
        },
    )?;
    instance.func_wrap(
        "[method]tensor.read",
        |mut store: Store<'_>, (this, offset, count): (Handle, u32, u32)| {
            charge(&mut store, fuel::transcendental(count as usize))?;
            let piece = get(&store, &this)?.piece(offset, count as usize)?;
            Ok((values(&mut store, &this)?[piece].to_vec(),))
        },
    )?;
    instance.func_wrap(
        "[method]tensor.write",
        |mut store: Store<'_>, (this, offset, values): (Handle, u32, WasmList<f32>)| {
            let count = values.len();
            charge(&mut store, fuel::transcendental(count))?;
            require(count <= MAX_PIECE_ELEMENTS, TensorError::Range)?;
            let values = values.iter(&mut store)?.collect::<Result<Vec<f32>>>()?;
            let tensor = store.data_mut().tensors.get_mut(this.rep())?;
            let piece = tensor.piece(offset, count)?;
            tensor.values_mut()?[piece].copy_from_slice(&values);
            Ok(())
        },
    )
}

fn copies(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap(
        "[method]tensor.slice",
        |mut store: Store<'_>, (this, first, rows): (Handle, u32, u32)| {
            let (all, columns) = get(&store, &this)?.shape();
            let end = first.checked_add(rows).ok_or(TensorError::Range)?;
            require(end <= all, TensorError::Range)?;
            charge(&mut store, fuel::simple(elements(rows, columns)?))?;
            let range = elements(first, columns)?..elements(end, columns)?;
            copy_of(&mut store, &this, rows, columns, |x, out| {
                out.extend_from_slice(&x[range]);
            })
        },
    )?;
    instance.func_wrap(
        "[method]tensor.view",
        |mut store: Store<'_>, (this, offset, rows, columns): (Handle, u32, u32, u32)| {
            charge(&mut store, fuel::simple(0))?;
            let count = elements(rows, columns)?;
            let tensor = get(&store, &this)?;
            let end = (offset as usize).checked_add(count).ok_or(TensorError::Range)?;
            require(end <= tensor.len(), TensorError::Range)?;
            let data = tensor.data.view(offset as usize, count);
            let data = data.ok_or(TensorError::NotReadOnly)?;
            let view = store.data_mut().tensors.insert(Tensor::of(rows, columns, data))?;
            Ok((Handle::new_own(view),))
        },
    )?;
    instance.func_wrap(
        "[method]tensor.slice-columns",
        |mut store: Store<'_>, (this, first, columns): (Handle, u32, u32)| {
            let (rows, all) = get(&store, &this)?.shape();
            let end = first.checked_add(columns).ok_or(TensorError::Range)?;
            require(end <= all, TensorError::Range)?;
            charge(&mut store, fuel::simple(elements(rows, columns)?))?;
            let (all, range) = (all as usize, first as usize..end as usize);
            copy_of(&mut store, &this, rows, columns, |x, out| {
                for row in 0..rows as usize {
                    out.extend_from_slice(&x[row * all..][range.clone()]);
                }
            })
        },
    )?;
    instance.func_wrap(
        "[method]tensor.append-column",
        |mut store: Store<'_>, (this, value): (Handle, f32)| {
            let (rows, columns) = get(&store, &this)?.shape();
            let wider = columns.checked_add(1).ok_or(TensorError::Limit)?;
            charge(&mut store, fuel::simple(elements(rows, wider)?))?;
            let columns = columns as usize;
            copy_of(&mut store, &this, rows, wider, |x, out| {
                for row in 0..rows as usize {
                    out.extend_from_slice(&x[row * columns..(row + 1) * columns]);
                    out.push(value);
                }
            })
        },
    )
}

/// A new tensor made from the elements of another.
fn copy_of(
    store: &mut Store<'_>,
    source: &Handle,
    rows: u32,
    columns: u32,
    copy: impl FnOnce(&[f32], &mut Vec<f32>),
) -> Result<(Handle,)> {
    let tensors = &mut store.data_mut().tensors;
    let needed = elements(rows, columns)?;
    tensors.check_room(needed)?;
    let mut values = Vec::with_capacity(needed);
    copy(tensors.values(source.rep())?, &mut values);
    let tensor = tensors.insert(Tensor::of(rows, columns, Data::Own(values)))?;
    Ok((Handle::new_own(tensor),))
}

fn join(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap("join", |mut store: Store<'_>, (parts,): (Vec<Handle>,)| {
        charge(&mut store, fuel::transcendental(parts.len()))?;
        let parts: Vec<u32> = parts.iter().map(Handle::rep).collect();
        Ok((Handle::new_own(store.data_mut().tensors.join(&parts)?),))
    })
}

fn vectors(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap("copy", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        same_shape(&mut store, &x, &y)?;
        with_output(&mut store, [&x], &y, |[x], y| y.copy_from_slice(x))
    })?;
    instance.func_wrap("axpy", |mut store: Store<'_>, (alpha, x, y): (f32, Handle, Handle)| {
        same_shape(&mut store, &x, &y)?;
        with_output(&mut store, [&x], &y, |[x], y| kernels::axpy(alpha, x, y))
    })?;
    instance.func_wrap("mul", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        let (x_shape, y_shape) = (get(&store, &x)?.shape(), get(&store, &y)?.shape());
        if x_shape == (y_shape.0, 1) && y_shape.1 != 1 {
            let cost = fuel::simple(len(&store, &y)?);
            charge(&mut store, cost)?;
            return with_output(&mut store, [&x], &y, |[x], y| kernels::mul_rows(x, y));
        }
        same_shape(&mut store, &x, &y)?;
        with_output(&mut store, [&x], &y, |[x], y| kernels::mul(x, y))
    })?;
    instance.func_wrap("div", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        same_shape(&mut store, &x, &y)?;
        with_output(&mut store, [&x], &y, |[x], y| kernels::div(x, y))
    })?;
    instance.func_wrap("add", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        let (x_shape, y_shape) = (get(&store, &x)?.shape(), get(&store, &y)?.shape());
        if x_shape == (1, y_shape.1) && y_shape.0 != 1 {
            let cost = fuel::simple(len(&store, &y)?);
            charge(&mut store, cost)?;
            return with_output(&mut store, [&x], &y, |[x], y| kernels::add_row(x, y));
        }
        same_shape(&mut store, &x, &y)?;
        with_output(&mut store, [&x], &y, |[x], y| kernels::axpy(1.0, x, y))
    })?;
    instance.func_wrap("dot", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        let (x_len, y_len) = (len(&store, &x)?, len(&store, &y)?);
        require(x_len == y_len, TensorError::Shape)?;
        charge(&mut store, fuel::simple(x_len))?;
        let tensors = &mut store.data_mut().tensors;
        tensors.write_down(x.rep())?;
        tensors.write_down(y.rep())?;
        let (x, y) = (tensors.get(x.rep())?, tensors.get(y.rep())?);
        Ok((kernels::dot(x.values(), y.values()),))
    })?;
    instance.func_wrap("sum", |mut store: Store<'_>, (x,): (Handle,)| {
        let cost = fuel::simple(len(&store, &x)?);
        charge(&mut store, cost)?;
        Ok((kernels::sum(values(&mut store, &x)?),))
    })?;
    instance.func_wrap("nrm2", |mut store: Store<'_>, (x,): (Handle,)| {
        let cost = fuel::simple(len(&store, &x)?);
        charge(&mut store, cost)?;
        let x = values(&mut store, &x)?;
        Ok((kernels::dot(x, x).sqrt(),))
    })?;
    reductions(instance)
}

fn reductions(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap("sum-rows", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        let (_, columns) = get(&store, &x)?.shape();
        require(get(&store, &y)?.shape() == (1, columns), TensorError::Shape)?;
        let cost = fuel::simple(len(&store, &x)? + columns as usize);
        charge(&mut store, cost)?;
        with_output(&mut store, [&x], &y, |[x], y| kernels::sum_rows(x, y))
    })?;
    instance.func_wrap("sum-columns", |mut store: Store<'_>, (x, y): (Handle, Handle)| {
        let (rows, columns) = get(&store, &x)?.shape();
        require(get(&store, &y)?.shape() == (rows, 1), TensorError::Shape)?;
        let cost = fuel::simple(len(&store, &x)? + rows as usize);
        charge(&mut store, cost)?;
        let columns = columns as usize;
        with_output(&mut store, [&x], &y, |[x], y| kernels::sum_columns(columns, x, y))
    })
}

/// Checks that two tensors have the same shape, and charges for a pass over one.
fn same_shape(store: &mut Store<'_>, x: &Handle, y: &Handle) -> Result<()> {
    let (x, y) = (get(store, x)?, get(store, y)?);
    require(x.shape() == y.shape(), TensorError::Shape)?;
    let cost = fuel::simple(x.len());
    charge(store, cost)
}

fn with_output<const N: usize>(
    store: &mut Store<'_>,
    inputs: [&Handle; N],
    output: &Handle,
    kernel: impl FnOnce([&[f32]; N], &mut [f32]),
) -> Result<()> {
    let inputs = inputs.map(Handle::rep);
    let tensors = &mut store.data_mut().tensors;
    Ok(tensors.with_output(inputs, output.rep(), kernel)?)
}

fn matrices(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap(
        "gemv",
        |mut store: Store<'_>,
         (transpose_a, alpha, a, x, beta, y): (bool, f32, Handle, Handle, f32, Handle)| {
            let (m, k) = oriented(get(&store, &a)?, transpose_a);
            require(len(&store, &x)? == k, TensorError::Shape)?;
            require(len(&store, &y)? == m, TensorError::Shape)?;
            let (n, transpose_b) = (1, false);
            let gemm = Gemm { transpose_a, transpose_b, alpha, beta, m, n, k };
            product(&mut store, gemm, [&a, &x], &y)
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
            let (m, k) = oriented(get(&store, &a)?, transpose_a);
            let (inner, n) = oriented(get(&store, &b)?, transpose_b);
            require(inner == k, TensorError::Shape)?;
            let shape = oriented(get(&store, &c)?, false);
            require(shape == (m, n), TensorError::Shape)?;
            let gemm = Gemm { transpose_a, transpose_b, alpha, beta, m, n, k };
            product(&mut store, gemm, [&a, &b], &c)
        },
    )?;
    instance.func_wrap(
        "ger",
        |mut store: Store<'_>, (alpha, x, y, a): (f32, Handle, Handle, Handle)| {
            let shape = (len(&store, &x)?, len(&store, &y)?);
            let found = oriented(get(&store, &a)?, false);
            require(shape == found, TensorError::Shape)?;
            charge(&mut store, fuel::product(shape.0, shape.1, 1))?;
            with_output(&mut store, [&x, &y], &a, |[x, y], a| {
                kernels::ger(alpha, x, y, a);
            })
        },
    )
}

/// Rows and columns, after transposing if asked to.
fn oriented(tensor: &Tensor, transpose: bool) -> (usize, usize) {
    let (rows, columns) = (tensor.rows as usize, tensor.columns as usize);
    if transpose { (columns, rows) } else { (rows, columns) }
}

/// From this size on, a column times a row is not written down before it has to be.
const OUTER: usize = 8;

fn product(store: &mut Store<'_>, gemm: Gemm, inputs: [&Handle; 2], output: &Handle) -> Result<()> {
    charge(store, fuel::product(gemm.m, gemm.n, gemm.k))?;
    let tensors = &mut store.data_mut().tensors;
    if gemm.k == 1 && gemm.beta == 0.0 && gemm.m >= OUTER && gemm.n >= OUTER {
        let [left, right] = inputs.map(Handle::rep);
        return Ok(tensors.set_outer(left, right, gemm.alpha, output.rep())?);
    }
    tensors.check_room(gemm.scratch())?;
    with_output(store, inputs, output, |[a, b], c| gemm.run(a, b, c))
}

fn elementwise(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap("fill", |mut store: Store<'_>, (x, value): (Handle, f32)| {
        in_place(&mut store, &x, fuel::simple, |x| x.fill(value))
    })?;
    instance.func_wrap("scal", |mut store: Store<'_>, (alpha, x): (f32, Handle)| {
        in_place(&mut store, &x, fuel::simple, |x| kernels::scal(alpha, x))
    })?;
    instance.func_wrap("relu", |mut store: Store<'_>, (x,): (Handle,)| {
        in_place(&mut store, &x, fuel::simple, kernels::relu)
    })?;
    instance.func_wrap("sigmoid", |mut store: Store<'_>, (x,): (Handle,)| {
        in_place(&mut store, &x, fuel::transcendental, kernels::sigmoid)
    })?;
    instance.func_wrap("exp", |mut store: Store<'_>, (x,): (Handle,)| {
        in_place(&mut store, &x, fuel::transcendental, kernels::exp)
    })?;
    instance.func_wrap("log", |mut store: Store<'_>, (x,): (Handle,)| {
        in_place(&mut store, &x, fuel::transcendental, kernels::log)
    })?;
    instance.func_wrap("tanh", |mut store: Store<'_>, (x,): (Handle,)| {
        in_place(&mut store, &x, fuel::transcendental, kernels::tanh)
    })?;
    instance.func_wrap("sqrt", |mut store: Store<'_>, (x,): (Handle,)| {
        in_place(&mut store, &x, fuel::simple, kernels::sqrt)
    })?;
    instance.func_wrap("clamp", |mut store: Store<'_>, (x, low, high): (Handle, f32, f32)| {
        in_place(&mut store, &x, fuel::simple, |x| kernels::clamp(x, low, high))
    })?;
    instance.func_wrap("step", |mut store: Store<'_>, (x, threshold): (Handle, f32)| {
        in_place(&mut store, &x, fuel::simple, |x| kernels::step(x, threshold))
    })?;
    for (name, kernel) in BACKWARD {
        instance.func_wrap(name, move |mut store: Store<'_>, (x, y): (Handle, Handle)| {
            same_shape(&mut store, &x, &y)?;
            with_output(&mut store, [&x], &y, |[x], y| kernel(x, y))
        })?;
    }
    instance.func_wrap("log-softmax", |mut store: Store<'_>, (x,): (Handle,)| {
        let columns = get(&store, &x)?.columns as usize;
        in_place(&mut store, &x, fuel::transcendental, |x| {
            kernels::log_softmax(columns, x);
        })
    })?;
    instance.func_wrap("softmax", |mut store: Store<'_>, (x,): (Handle,)| {
        let columns = get(&store, &x)?.columns as usize;
        in_place(&mut store, &x, fuel::transcendental, |x| {
            kernels::softmax(columns, x);
        })
    })
}

/// From the output of a function and a gradient to that of its input, in place.
type Backward = fn(&[f32], &mut [f32]);

const BACKWARD: [(&str, Backward); 3] = [
    ("sigmoid-backward", kernels::sigmoid_backward),
    ("tanh-backward", kernels::tanh_backward),
    ("relu-backward", kernels::relu_backward),
];

/// Charges for a pass over one tensor and runs a kernel on it.
fn in_place(
    store: &mut Store<'_>,
    x: &Handle,
    cost: fn(usize) -> Option<u64>,
    kernel: impl FnOnce(&mut [f32]),
) -> Result<()> {
    let cost = cost(len(store, x)?);
    charge(store, cost)?;
    with_output(store, [], x, |[], x| kernel(x))
}

fn random(instance: &mut LinkerInstance<'_, State>) -> Result<()> {
    instance.func_wrap("next", |mut store: Store<'_>, (): ()| {
        charge(&mut store, fuel::transcendental(64))?;
        Ok((store.data_mut().random.next(),))
    })?;
    instance.func_wrap("uniform", |mut store: Store<'_>, (x, low, high): (Handle, f32, f32)| {
        fill_random(&mut store, &x, |random, x| random.uniform(x, low, high))
    })?;
    instance.func_wrap(
        "normal",
        |mut store: Store<'_>, (x, mean, deviation): (Handle, f32, f32)| {
            fill_random(&mut store, &x, |random, x| {
                random.normal(x, mean, deviation);
            })
        },
    )
}

fn fill_random(
    store: &mut Store<'_>,
    x: &Handle,
    fill: impl FnOnce(&mut crate::random::Stream, &mut [f32]),
) -> Result<()> {
    let cost = fuel::transcendental(64 + len(store, x)?);
    charge(store, cost)?;
    let State { tensors, random, .. } = store.data_mut();
    Ok(tensors.with_output([], x.rep(), |[], x| fill(random, x))?)
}

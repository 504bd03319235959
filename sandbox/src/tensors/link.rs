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
            let zeros = |elements| vec![0.0; elements];
            let tensor = store.data_mut().tensors.create(rows, columns, zeros)?;
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
            let tensor = get(&store, &this)?;
            Ok((tensor.values()[tensor.index(row, column)?],))
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
            let tensor = get(&store, &this)?;
            let piece = tensor.piece(offset, count as usize)?;
            Ok((tensor.values()[piece].to_vec(),))
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
    copy(tensors.get(source.rep())?.values(), &mut values);
    let tensor = tensors.insert(Tensor { rows, columns, data: Data::Own(values) })?;
    Ok((Handle::new_own(tensor),))
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
        same_shape(&mut store, &x, &y)?;
        with_output(&mut store, [&x], &y, |[x], y| kernels::mul(x, y))
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
        let (x, y) = (get(&store, &x)?, get(&store, &y)?);
        Ok((kernels::dot(x.values(), y.values()),))
    })?;
    instance.func_wrap("sum", |mut store: Store<'_>, (x,): (Handle,)| {
        let cost = fuel::simple(len(&store, &x)?);
        charge(&mut store, cost)?;
        Ok((kernels::sum(get(&store, &x)?.values()),))
    })?;
    instance.func_wrap("nrm2", |mut store: Store<'_>, (x,): (Handle,)| {
        let cost = fuel::simple(len(&store, &x)?);
        charge(&mut store, cost)?;
        let x = get(&store, &x)?.values();
        Ok((libm::sqrtf(kernels::dot(x, x)),))
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

fn product(store: &mut Store<'_>, gemm: Gemm, inputs: [&Handle; 2], output: &Handle) -> Result<()> {
    charge(store, fuel::product(gemm.m, gemm.n, gemm.k))?;
    if gemm.transpose_a && gemm.transpose_b {
        // A copy of a is turned around, element by element.
        let elements = gemm.m.saturating_mul(gemm.k);
        charge(store, fuel::transcendental(elements))?;
        store.data().tensors.check_room(elements)?;
    }
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
    instance.func_wrap("softmax", |mut store: Store<'_>, (x,): (Handle,)| {
        let columns = get(&store, &x)?.columns as usize;
        in_place(&mut store, &x, fuel::transcendental, |x| {
            kernels::softmax(columns, x);
        })
    })
}

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

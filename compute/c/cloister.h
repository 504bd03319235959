/*
 * What training code in C is written against: the world of compute/wit/world.wit, by hand.
 *
 * Include it in the one file of a trainer and define `describe`, `trainer_init`,
 * `trainer_update` and `trainer_score`. No C library is needed, and none is there. A tensor
 * is a handle; the numbers live in the runtime, and each function is one call of a kernel
 * that charges fuel by its size. What each does, and when it traps, is in world.wit.
 *
 * An instance lives for one unit. Memory is never freed, and a tensor that is not dropped
 * goes with the instance.
 */
#ifndef CLOISTER_H
#define CLOISTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(sizeof(void *) == 4, "build for wasm32");

/* A matrix that lives in the runtime. Model, features and targets are read-only. */
typedef struct { int32_t handle; } tensor;

/* Bytes of UTF-8. */
typedef struct { const char *bytes; size_t length; } text;
#define TEXT(literal) { (literal), sizeof(literal) - 1 }

/* A parameter of the job, in the order of `describe`. */
typedef struct { text name; double value; } param;

/* All of them. */
typedef struct { const param *list; size_t count; } params;

/* One unit's rows. There may be none. */
typedef struct { tensor features, targets; } rows;

typedef enum { REAL, INTEGER, FLAG } parameter_kind;

/* A parameter that a job may set. */
typedef struct {
    text name;
    uint8_t kind; /* a parameter_kind */
    double minimum, maximum, standard;
    text about;
} parameter;

/* What a trainer says about itself: see `description` in world.wit. */
typedef struct {
    text name, version, summary;
    struct { const parameter *list; size_t count; } parameters;
    text model, scores;
} description;

_Static_assert(sizeof(param) == 16 && sizeof(parameter) == 48, "as in the canonical ABI");
_Static_assert(sizeof(description) == 48, "as in the canonical ABI");

/* The four functions of a trainer. */
static const description *describe(void);
static tensor trainer_init(uint32_t features, uint32_t targets, params job);
static tensor trainer_update(tensor model, rows unit, params job);
static tensor trainer_score(tensor model, tensor features, params job);

/* Imports. A struct of one integer is passed as that integer. */
#define CLOISTER_IMPORT(interface, name) \
    __attribute__((import_module("cloister:compute/" interface "@1.0.0"), import_name(name)))
#define TENSORS(name) CLOISTER_IMPORT("tensors", name)
#define RANDOM(name) CLOISTER_IMPORT("random", name)

typedef struct { float *list; size_t count; } floats;

TENSORS("[constructor]tensor") int32_t cloister_new(uint32_t rows, uint32_t columns);
TENSORS("[resource-drop]tensor") void tensor_drop(tensor x);
TENSORS("[method]tensor.rows") uint32_t tensor_rows(tensor x);
TENSORS("[method]tensor.columns") uint32_t tensor_columns(tensor x);
TENSORS("[method]tensor.get") float tensor_get(tensor x, uint32_t row, uint32_t column);
TENSORS("[method]tensor.set")
void tensor_set(tensor x, uint32_t row, uint32_t column, float value);
TENSORS("[method]tensor.read")
void tensor_read(tensor x, uint32_t offset, uint32_t count, floats *values);
TENSORS("[method]tensor.write")
void tensor_write(tensor x, uint32_t offset, const float *values, size_t count);
TENSORS("[method]tensor.view")
int32_t cloister_view(tensor x, uint32_t offset, uint32_t rows, uint32_t columns);
TENSORS("[method]tensor.slice")
int32_t cloister_slice(tensor x, uint32_t first_row, uint32_t rows);
TENSORS("[method]tensor.slice-columns")
int32_t cloister_slice_columns(tensor x, uint32_t first_column, uint32_t columns);
TENSORS("[method]tensor.append-column") int32_t cloister_append_column(tensor x, float value);

TENSORS("join") int32_t cloister_join(const tensor *parts, size_t count);
TENSORS("copy") void tensor_copy(tensor x, tensor y);
TENSORS("fill") void tensor_fill(tensor x, float value);
TENSORS("scal") void tensor_scal(float alpha, tensor x);
TENSORS("axpy") void tensor_axpy(float alpha, tensor x, tensor y);
TENSORS("add") void tensor_add(tensor x, tensor y);
TENSORS("mul") void tensor_mul(tensor x, tensor y);
TENSORS("div") void tensor_div(tensor x, tensor y);
TENSORS("dot") float tensor_dot(tensor x, tensor y);
TENSORS("sum") float tensor_sum(tensor x);
TENSORS("nrm2") float tensor_nrm2(tensor x);
TENSORS("sum-rows") void tensor_sum_rows(tensor x, tensor y);
TENSORS("sum-columns") void tensor_sum_columns(tensor x, tensor y);
TENSORS("gemv")
void tensor_gemv(bool transpose, float alpha, tensor a, tensor x, float beta, tensor y);
TENSORS("ger") void tensor_ger(float alpha, tensor x, tensor y, tensor a);
TENSORS("gemm")
void tensor_gemm(bool transpose_a, bool transpose_b, float alpha, tensor a, tensor b,
                 float beta, tensor c);
TENSORS("sigmoid") void tensor_sigmoid(tensor x);
TENSORS("tanh") void tensor_tanh(tensor x);
TENSORS("relu") void tensor_relu(tensor x);
TENSORS("sigmoid-backward") void tensor_sigmoid_backward(tensor s, tensor y);
TENSORS("tanh-backward") void tensor_tanh_backward(tensor t, tensor y);
TENSORS("relu-backward") void tensor_relu_backward(tensor r, tensor y);
TENSORS("exp") void tensor_exp(tensor x);
TENSORS("log") void tensor_log(tensor x);
TENSORS("sqrt") void tensor_sqrt(tensor x);
TENSORS("clamp") void tensor_clamp(tensor x, float low, float high);
TENSORS("step") void tensor_step(tensor x, float threshold);
TENSORS("softmax") void tensor_softmax(tensor x);
TENSORS("log-softmax") void tensor_log_softmax(tensor x);

RANDOM("next") uint64_t random_next(void);
RANDOM("uniform") void random_uniform(tensor x, float low, float high);
RANDOM("normal") void random_normal(tensor x, float mean, float deviation);

/* A struct is returned through memory, so these are integers on the way. */
static inline tensor tensor_new(uint32_t rows, uint32_t columns) {
    return (tensor){cloister_new(rows, columns)};
}

static inline tensor tensor_view(tensor x, uint32_t offset, uint32_t rows, uint32_t columns) {
    return (tensor){cloister_view(x, offset, rows, columns)};
}

static inline tensor tensor_slice(tensor x, uint32_t first_row, uint32_t rows) {
    return (tensor){cloister_slice(x, first_row, rows)};
}

static inline tensor tensor_slice_columns(tensor x, uint32_t first_column, uint32_t columns) {
    return (tensor){cloister_slice_columns(x, first_column, columns)};
}

static inline tensor tensor_append_column(tensor x, float value) {
    return (tensor){cloister_append_column(x, value)};
}

static inline tensor tensor_join(const tensor *parts, size_t count) {
    return (tensor){cloister_join(parts, count)};
}

/* The value of a declared parameter. One that is not declared traps. */
static inline double param_get(params job, const char *name) {
    for (size_t i = 0; i < job.count; i++) {
        text known = job.list[i].name;
        size_t at = 0;
        while (at < known.length && name[at] != 0 && known.bytes[at] == name[at]) {
            at++;
        }
        if (at == known.length && name[at] == 0) {
            return job.list[i].value;
        }
    }
    __builtin_trap();
}

/* Exports. Borrowed handles are given back before a call returns. */
#define CLOISTER_EXPORT(name) __attribute__((export_name(name)))

CLOISTER_EXPORT("describe") const description *cloister_describe(void) {
    return describe();
}

CLOISTER_EXPORT("init")
int32_t cloister_init(uint32_t features, uint32_t targets, const param *list,
                             size_t count) {
    return trainer_init(features, targets, (params){list, count}).handle;
}

CLOISTER_EXPORT("update")
int32_t cloister_update(tensor model, tensor features, tensor targets,
                               const param *list, size_t count) {
    tensor update = trainer_update(model, (rows){features, targets}, (params){list, count});
    tensor_drop(model);
    tensor_drop(features);
    tensor_drop(targets);
    return update.handle;
}

CLOISTER_EXPORT("score")
int32_t cloister_score(tensor model, tensor features, const param *list, size_t count) {
    tensor scores = trainer_score(model, features, (params){list, count});
    tensor_drop(model);
    tensor_drop(features);
    return scores.handle;
}

/* Memory for lists that the runtime hands over: a pointer that only moves forward. */
extern uint8_t __heap_base; /* set by the linker: the first address behind data and stack */

CLOISTER_EXPORT("cabi_realloc")
void *cloister_realloc(void *old, size_t old_size, size_t align, size_t size) {
    static uintptr_t next;
    const uintptr_t page = 65536;
    uintptr_t start = ((next ? next : (uintptr_t)&__heap_base) + align - 1) & -align;
    uintptr_t end, available = __builtin_wasm_memory_size(0) * page;
    if (__builtin_add_overflow(start, size, &end)) {
        __builtin_trap();
    }
    if (end > available
        && __builtin_wasm_memory_grow(0, (end - available + page - 1) / page) == SIZE_MAX) {
        __builtin_trap();
    }
    for (size_t i = 0; i < old_size && i < size; i++) {
        ((uint8_t *)start)[i] = ((uint8_t *)old)[i];
    }
    next = end;
    return (void *)start;
}

#endif

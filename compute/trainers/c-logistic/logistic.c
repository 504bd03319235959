/*
 * Logistic regression in C: the same steps as compute/trainers/logistic in Rust, and so
 * the same updates, to the bit.
 *
 * For a row with features x and a target y of 0 or 1, the model predicts
 * p = 1 / (1 + exp(-(w * x + b))). The model has a row for each feature and one more for
 * the bias, and a column for each target.
 */
#include "cloister.h"

static const description *describe(void) {
    static const parameter parameters[] = {{
        .name = TEXT("l2"),
        .kind = REAL,
        .minimum = 0.0,
        .maximum = 1.0,
        .standard = 0.0,
        .about = TEXT("weight decay: pulls weights to zero"),
    }};
    static const description about = {
        .name = TEXT("c-logistic"),
        .version = TEXT("0.1.0"),
        .summary = TEXT("logistic regression in C, a yes-or-no prediction for each target"),
        .parameters = {parameters, 1},
        .model = TEXT("a weight for each feature, then the bias; a column for each target"),
        .scores = TEXT("the probability of yes"),
    };
    return &about;
}

static tensor trainer_init(uint32_t features, uint32_t targets, params job) {
    (void)job;
    return tensor_new(features + 1, targets);
}

/* The probability of yes for each row of `inputs`, whose last column is ones. */
static tensor predict(tensor model, tensor inputs) {
    tensor scores = tensor_new(tensor_rows(inputs), tensor_columns(model));
    tensor_gemm(false, false, 1.0f, inputs, model, 0.0f, scores);
    tensor_sigmoid(scores);
    return scores;
}

static tensor trainer_update(tensor model, rows unit, params job) {
    uint32_t count = tensor_rows(unit.features);
    tensor gradient = tensor_new(tensor_rows(model), tensor_columns(model));
    if (count == 0) {
        return gradient;
    }
    tensor inputs = tensor_append_column(unit.features, 1.0f);
    tensor error = predict(model, inputs);
    tensor_axpy(-1.0f, unit.targets, error);
    tensor_scal(1.0f / (float)count, error);
    tensor_gemm(true, false, 1.0f, inputs, error, 0.0f, gradient);
    float l2 = (float)param_get(job, "l2");
    if (l2 != 0.0f) {
        tensor_axpy(l2, model, gradient);
    }
    return gradient;
}

static tensor trainer_score(tensor model, tensor features, params job) {
    (void)job;
    return predict(model, tensor_append_column(features, 1.0f));
}

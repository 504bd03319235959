"""Logistic regression in Python: the same steps as compute/trainers/logistic in Rust.

    PYTHONPATH=../../python python3 logistic.py logistic.wasm
    cloister code build logistic.wasm -o py-logistic.wasm
"""

import cloister


class Logistic(cloister.Trainer):
    name = "py-logistic"
    version = "0.1.0"
    summary = "logistic regression in Python, a yes-or-no prediction for each target"
    model = "a weight for each feature, then the bias; a column for each target"
    scores = "the probability of yes"
    parameters = {"l2": cloister.real(0.0, 1.0, 0.0, "weight decay: pulls weights to zero")}

    def init(self, features, targets, params):
        return cloister.Tensor(features + 1, targets)

    def update(self, model, features, targets, params):
        inputs = features.append_column(1.0)
        error = (inputs @ model).sigmoid()
        error -= targets
        error *= 1.0 / features.rows
        gradient = inputs.T @ error
        gradient.scaled_add(params["l2"], model)
        return gradient

    def score(self, model, features, params):
        return (features.append_column(1.0) @ model).sigmoid()


if __name__ == "__main__":
    cloister.main(Logistic())

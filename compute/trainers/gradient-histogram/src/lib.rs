//! Softmax over gradient histograms of grey images.
//!
//! A row's features are a square image of `side` times `side` pixels, row after row; its
//! targets are classes, a column for each, with 1 in the column of the image's class.
//! What is learnt is multinomial logistic regression, as in the trainer `softmax`, but
//! not on pixels: on how strong edges are in each part of the image and where they point.
//! Nothing of these features is learnt, so they cost no privacy, and a model on them
//! needs far less budget than one that has to find them.
//!
//! 1. The gradient of a pixel is half the difference of its neighbours, across and down.
//!    Outside the image there is more of the border.
//! 2. Its length is dealt out to the two nearest of `orientations` directions, and to the
//!    nearest of `cells` times `cells` squares, to each by how near it is.
//! 3. The sums, a number for each square and direction, are scaled to length `cells`.
//!    So every image has the same length, whatever its contrast, and a blank one zero.
//!
//! The model tensor has a row for each of these numbers, square after square, and one for
//! the bias, and a column for each class. It starts at zero. With the constant, a row is
//! at most the root of `cells * cells + 1` long, and its gradient at most the root of 2
//! times that.

mod histograms;

use cloister_compute::{Description, Params, Rows, Tensor, Trainer};
use histograms::Histograms;

/// Multinomial logistic regression over fixed features of images.
struct GradientHistogram;

impl Trainer for GradientHistogram {
    fn describe() -> Description {
        Description::new(
            "gradient-histogram",
            env!("CARGO_PKG_VERSION"),
            "the class of a square grey image, from histograms of its gradients",
        )
        .integer("side", [2.0, 32.0], 28.0, "pixels along each side of an image")
        .integer("cells", [1.0, 8.0], 4.0, "squares along each side, with a histogram each")
        .integer("orientations", [2.0, 16.0], 8.0, "directions in each histogram")
        .real("l2", [0.0, 1.0], 0.0, "weight decay: pulls weights to zero")
        .model("a weight for each square and direction, then the bias; a column for each class")
        .scores("the probability of each class")
    }

    fn init(features: u32, targets: u32, params: &Params) -> Tensor {
        let histograms = Histograms::of_job(params);
        assert_eq!(features, histograms.pixels(), "features are not side x side pixels");
        Tensor::zeros(histograms.len() + 1, targets)
    }

    fn update(model: &Tensor, rows: Rows<'_>, params: &Params) -> Tensor {
        if rows.is_empty() {
            return model.zeros_like();
        }
        let inputs = inputs(rows.features, params);
        let mut error = inputs.matmul(model).softmax();
        error -= rows.targets;
        error *= 1.0 / rows.len() as f32;
        let mut gradient = inputs.t().matmul(&error);
        let l2 = params.get_f32("l2");
        if l2 != 0.0 {
            gradient.scaled_add(l2, model);
        }
        gradient
    }

    fn score(model: &Tensor, features: &Tensor, params: &Params) -> Tensor {
        inputs(features, params).matmul(model).softmax()
    }
}

/// The histograms of each row's image, and the constant 1.
fn inputs(images: &Tensor, params: &Params) -> Tensor {
    let histograms = Histograms::of_job(params);
    let (pixels, length) = (histograms.pixels(), histograms.len());
    let inputs = Tensor::zeros(images.rows(), length);
    let mut values = vec![0.0; length as usize];
    for row in 0..images.rows() {
        histograms.describe(&images.read(row * pixels, pixels), &mut values);
        inputs.write(row * length, &values);
    }
    inputs.append_column(1.0)
}

cloister_compute::export!(GradientHistogram);

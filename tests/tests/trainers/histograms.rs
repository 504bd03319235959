//! The features of `gradient-histogram`, written another way: windows that are triangles,
//! and an angle to each direction.

use std::f64::consts::TAU;

/// How near a place is to the middle of a cell, from 1 to 0.
fn window(place: usize, cell: usize, width: f64) -> f64 {
    let distance = (place as f64 + 0.5) / width - (cell as f64 + 0.5);
    (1.0 - distance.abs()).max(0.0)
}

/// How near an angle is to a direction, from 1 to 0.
fn nearness(angle: f64, direction: usize, directions: usize) -> f64 {
    let apart = TAU / directions as f64;
    let turned = (angle - direction as f64 * apart).rem_euclid(TAU);
    (1.0 - turned.min(TAU - turned) / apart).max(0.0)
}

/// The numbers that describe an image.
pub fn describe(image: &[f64], side: usize, cells: usize, directions: usize) -> Vec<f64> {
    let pixel = |x: usize, y: usize| image[y * side + x];
    let before = |place: usize| place.saturating_sub(1);
    let behind = |place: usize| (place + 1).min(side - 1);
    let width = side as f64 / cells as f64;
    let mut values = vec![0.0; cells * cells * directions];
    for (place, value) in values.iter_mut().enumerate() {
        let (cell, direction) = (place / directions, place % directions);
        for y in 0..side {
            for x in 0..side {
                let across = (pixel(behind(x), y) - pixel(before(x), y)) / 2.0;
                let down = (pixel(x, behind(y)) - pixel(x, before(y))) / 2.0;
                *value += across.hypot(down)
                    * window(x, cell % cells, width)
                    * window(y, cell / cells, width)
                    * nearness(down.atan2(across), direction, directions);
            }
        }
    }
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    values.into_iter().map(|value| value * cells as f64 / length).collect()
}

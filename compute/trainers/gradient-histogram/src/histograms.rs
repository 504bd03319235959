//! From an image to the histograms of its gradients.

use std::f32::consts::TAU;

use cloister_compute::Params;

/// What images are like and how they are described.
pub struct Histograms {
    side: u32,
    cells: u32,
    orientations: u32,
}

impl Histograms {
    /// Those that a job's parameters ask for.
    pub fn of_job(params: &Params) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "declared so")]
        let whole = |name| params.get(name) as u32;
        Self { side: whole("side"), cells: whole("cells"), orientations: whole("orientations") }
    }

    /// Pixels of an image: those of one call of `read`, at most.
    pub fn pixels(&self) -> u32 {
        self.side * self.side
    }

    /// Numbers that describe an image: those of one call of `write`, at most.
    pub fn len(&self) -> u32 {
        self.cells * self.cells * self.orientations
    }

    /// Puts the numbers that describe an image into `values`.
    pub fn describe(&self, image: &[f32], values: &mut [f32]) {
        values.fill(0.0);
        for y in 0..self.side {
            for x in 0..self.side {
                self.vote(image, [x, y], values);
            }
        }
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let scale = self.cells as f32 / length.max(1e-6);
        for value in values {
            *value *= scale;
        }
    }

    /// Adds one pixel's gradient.
    fn vote(&self, image: &[f32], [x, y]: [u32; 2], values: &mut [f32]) {
        let last = self.side - 1;
        let pixel = |x: u32, y: u32| image[(y.min(last) * self.side + x.min(last)) as usize];
        let across = 0.5 * (pixel(x + 1, y) - pixel(x.saturating_sub(1), y));
        let down = 0.5 * (pixel(x, y + 1) - pixel(x, y.saturating_sub(1)));
        let strength = across.hypot(down);
        let turn = down.atan2(across).rem_euclid(TAU) / TAU * self.orientations as f32;
        for (row, near_row) in self.nearest_cells(y) {
            for (column, near_column) in self.nearest_cells(x) {
                let cell = (row * self.cells + column) * self.orientations;
                for (direction, near) in neighbours(turn) {
                    let place = cell + direction % self.orientations;
                    values[place as usize] += strength * near_row * near_column * near;
                }
            }
        }
    }

    /// The cells on both sides of a pixel, along one side of the image, and how near.
    fn nearest_cells(&self, place: u32) -> impl Iterator<Item = (u32, f32)> {
        let width = self.side as f32 / self.cells as f32;
        let cells = self.cells;
        // Counted from one cell before the first, so that it is not below zero.
        let position = (place as f32 + 0.5) / width + 0.5;
        let inside = move |cell: u32| (1..=cells).contains(&cell).then(|| cell - 1);
        neighbours(position).into_iter().filter_map(move |(cell, near)| Some((inside(cell)?, near)))
    }
}

/// The whole numbers on both sides of a number that is not below zero, and how near it is
/// to each: 1 at the number itself, 0 at the other.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, never below 0")]
fn neighbours(number: f32) -> [(u32, f32); 2] {
    let (below, past) = (number as u32, number.fract());
    [(below, 1.0 - past), (below + 1, past)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(histograms: &Histograms, pixel: impl Fn(u32, u32) -> f32) -> Vec<f32> {
        let side = histograms.side;
        let image: Vec<f32> = (0..side * side).map(|i| pixel(i % side, i / side)).collect();
        let mut values = vec![0.0; histograms.len() as usize];
        histograms.describe(&image, &mut values);
        values
    }

    #[test]
    fn a_number_is_between_its_neighbours() {
        assert_eq!(neighbours(2.25), [(2, 0.75), (3, 0.25)]);
        assert_eq!(neighbours(2.0), [(2, 1.0), (3, 0.0)]);
    }

    #[test]
    fn a_slope_points_up_the_hill() {
        let one = Histograms { side: 4, cells: 1, orientations: 4 };
        assert_eq!(described(&one, |x, _| x as f32), [1.0, 0.0, 0.0, 0.0]);
        let up = described(&one, |_, y| -(y as f32));
        assert!((up[3] - 1.0).abs() < 1e-6, "{up:?}");
        let between = described(&one, |x, y| (x + y) as f32);
        assert!((between[0] - between[1]).abs() < 1e-6 && between[2..] == [0.0, 0.0]);
    }

    #[test]
    fn an_edge_is_in_the_cells_where_it_is() {
        let four = Histograms { side: 8, cells: 2, orientations: 4 };
        let left = described(&four, |x, _| f32::from(u8::from(x > 0)));
        let strongest = |cell: usize| left[4 * cell];
        assert!(strongest(0) > 0.0 && strongest(2) > 0.0);
        assert_eq!((strongest(1), strongest(3)), (0.0, 0.0));
    }

    #[test]
    fn every_image_is_equally_long_and_a_blank_one_is_nothing() {
        let histograms = Histograms { side: 8, cells: 4, orientations: 8 };
        for contrast in [0.01, 1.0, 100.0] {
            let values = described(&histograms, |x, y| contrast * ((3 * x + 5 * y) % 7) as f32);
            let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
            assert!((length - 4.0).abs() < 1e-4, "{length}");
        }
        assert!(described(&histograms, |_, _| 0.7).iter().all(|value| *value == 0.0));
    }
}

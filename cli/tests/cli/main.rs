//! The program as a person runs it: its output, its errors, its exit codes.

mod assess;
mod budget;
mod chain;
mod errors;
mod evidence;
mod history;
mod outputs;
mod owner;
mod pins;
mod program;
mod tensors;
mod verify;

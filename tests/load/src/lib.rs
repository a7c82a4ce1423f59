#![doc = include_str!("../README.md")]

mod asks;
mod deployment;
mod drive;
mod figures;
mod generator;
mod plan;

pub use deployment::{Deployment, Settings};
pub use drive::drive;
pub use figures::{Figures, ProcessFigures, Times};
pub use generator::{Generator, LoadError};
pub use plan::{Arrivals, Http, Plan, Report};

#![doc = include_str!("../README.md")]

mod asks;
mod deployment;
mod drive;
mod figures;
mod generator;
mod plan;
mod soak;

pub use deployment::{Deployment, Settings};
pub use drive::drive;
pub use figures::{Figures, ProcessFigures, Times};
pub use generator::{Generator, LoadError};
pub use plan::{Arrivals, Http, Plan, Report};
pub use soak::{
    Course, DESCRIPTORS_SLACK, Fault, MEMORY_GROWTH_MAX, MEMORY_SLACK_KIB, SAMPLES_MIN, Thirds,
    judge, shed,
};

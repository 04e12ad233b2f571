//! Rewards: specs that are refused, expressions, signals in any order of arrival, explicit rewards.

mod driver;
mod explicit;
mod expressions;
mod hostile;
mod laws;
mod refusals;
mod signals;

//! One file per promise. [`server`] starts and ends the binary, [`events`] makes what is sent to it.

mod allocations;
mod configuration;
mod crash;
mod crash_loop;
mod events;
mod floods;
mod hostile;
mod order;
mod players;
mod poison;
mod reading;
mod restart;
mod server;
mod stream;

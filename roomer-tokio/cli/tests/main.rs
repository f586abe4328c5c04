//! Tests of the command line, in one program, so that only one must be compiled and linked.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "test helpers")]

mod addresses;
mod admin;
mod api;
mod cgroup;
mod cluster;
mod commands;
mod configuration;
mod dashboard;
mod decode;
mod deflate;
mod deploy;
mod descriptors;
mod effects;
mod examples;
mod large_bodies;
mod lines;
mod log;
mod rates;
mod reload;
mod secrets;
mod serve;
mod slow_reader;
mod support;
mod talk;
mod terminal;
mod tokens;
mod webhook_events;
mod webhook_joins;
mod webhooks;

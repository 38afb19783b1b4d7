//! Tests of the stage as stories: arrivals in, records and cells out.

mod alerts;
mod content;
mod departments;
mod experience;
mod forgotten;
mod golden;
mod instants;
mod journeys;
mod known;
mod months;
mod moves;
mod moving;
mod past;
mod properties;
mod readings;
mod relations;
mod several;
mod stories;
mod subjects;
mod world;

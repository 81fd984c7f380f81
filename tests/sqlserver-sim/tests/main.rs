//! Tests of the simulator through the clients that know nothing of it.

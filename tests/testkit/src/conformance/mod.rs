//! The conformance suite: what every connector must do, as tests that a connector's crate runs on a source of its own.
//!
//! A connector's tests supply a [`Backend`] and get the suite by one line:
//!
//! ```ignore
//! struct Files { /* … */ }
//!
//! #[async_trait]
//! impl Backend for Files { /* start, connector, execute, types */ }
//!
//! conformance_suite!(Files);
//! ```
//!
//! Each case is a test of its own. It runs the connector in the core's pipeline into a [`MemorySink`], or talks to it
//! directly where the contract says something about the connector alone. Beside the source it keeps a model of what the
//! source must hold, which shares no code with the connector, and compares it at every commit: the live tables must
//! hold what the source held at one moment, and moments must not go back.
//!
//! What a source can't do is declared by the back-end ([`Backend::lacks`]) and reported as not applicable, by name.
//!
//! Random cases print their seed; `MILLSTREAM_ORACLE_SEED` replays it, `MILLSTREAM_ORACLE_SECONDS` sets for how long the
//! oracle looks. docs/writing-a-connector.md tells the rest.

mod backend;
#[doc(hidden)]
pub mod cases;
mod history;
mod memory_sink;
mod model;
mod operation;
mod recording;
mod replica;
mod scene;
pub mod sql;
mod value;
mod writer;

pub use backend::{Backend, BackendError, Capability, TypeCase};
pub use memory_sink::{Checkpoint, LiveTables, MemorySink, Observer, Pace};
pub use model::TableContent;
pub use operation::{ColumnDefinition, ColumnType, Input, Operation};
pub use value::{Row, Value};

#[doc(hidden)]
pub use scene::{Scene, run};

/// The suite, as tests of the module it stands in, on a [`Backend`] that is visible there.
///
/// Two back-ends in one crate go into two modules.
#[macro_export]
macro_rules! conformance_suite {
    ($backend:ident) => {
        $crate::conformance_cases! { $backend;
            set_up {
                a_good_set_up_has_no_errors [],
                the_head_lies_after_everything_committed [],
                tables_are_found_with_their_schemas [],
            }
            types {
                every_value_is_the_same_read_and_streamed [],
            }
            reading {
                chunks_hold_every_row_once [],
                chunks_of_composite_keys_hold_every_row_once [CompositeKeys],
                tables_without_a_key_are_read_whole [TablesWithoutKey],
                rows_are_found_by_their_identity [],
                a_chunk_is_a_state_between_the_stream_and_its_high [],
                a_table_of_another_shape_is_refused [AddColumn],
                a_table_that_is_gone_is_refused [],
            }
            stream {
                changes_come_once_and_in_order [EveryVersion],
                transactions_arrive_whole [Transactions],
                a_large_transaction_comes_in_parts [Transactions],
                what_is_rolled_back_never_was [Rollback],
                another_key_is_another_row [],
                rows_without_a_key_are_followed [TablesWithoutKey],
                tables_that_are_not_selected_are_not_delivered [],
                an_idle_stream_gives_signs_of_life [],
            }
            restarts {
                a_new_stream_from_any_commit_delivers_the_same [],
                the_pipeline_resumes_at_any_checkpoint [],
                nothing_is_lost_while_stopped [],
                calls_may_be_dropped_at_any_await [],
                kills_under_load_lose_nothing [],
                a_late_sink_loses_nothing_by_a_kill [],
            }
            schema_changes::live {
                table_created [],
                table_dropped [],
                table_dropped_and_created_again [],
                table_truncated [Truncate],
                table_renamed_away [RenameTable],
                table_renamed_into_view [RenameTable],
                tables_swapped [SwapTables],
                column_added [AddColumn],
                column_added_with_a_default [AddColumnWithDefault],
                column_dropped [DropColumn],
                column_dropped_and_added_again [AddColumn, DropColumn],
                column_renamed [RenameColumn],
                column_made_wider [RetypeColumn],
                column_made_text [RetypeColumn],
                key_changed [ChangeKey],
            }
            schema_changes::while_stopped {
                table_created [],
                table_dropped [],
                table_dropped_and_created_again [],
                table_truncated [Truncate],
                table_renamed_away [RenameTable],
                table_renamed_into_view [RenameTable],
                tables_swapped [SwapTables],
                column_added [AddColumn],
                column_added_with_a_default [AddColumnWithDefault],
                column_dropped [DropColumn],
                column_dropped_and_added_again [AddColumn, DropColumn],
                column_renamed [RenameColumn],
                column_made_wider [RetypeColumn],
                column_made_text [RetypeColumn],
                key_changed [ChangeKey],
            }
            schema_changes::under_load {
                all_kinds_with_kills [],
            }
            reconcile {
                the_first_read_runs_beside_changes [],
                a_table_is_read_again_under_load [],
                tables_without_a_key_are_read_again_under_load [TablesWithoutKey],
                equal_rows_are_not_written_again [],
            }
            sinks {
                a_slow_sink_loses_nothing [],
                a_sink_that_stalls_loses_nothing [],
            }
            faults {
                cut_connections_lose_nothing [CutConnections],
                a_cut_inside_a_transaction_loses_nothing [CutConnections, Transactions],
                a_peer_that_hangs_for_a_while_loses_nothing [CutConnections],
                refused_connections_are_tried_again [CutConnections],
                a_source_that_restarts_loses_nothing [RestartSource],
                a_lost_log_costs_a_re_read [LoseLog],
            }
            oracle {
                random_lives_end_equal [],
            }
        }
    };
}

/// Expands to the tests; [`conformance_suite!`](crate::conformance_suite) holds the list.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($backend:ident; $($group:ident $(::$subgroup:ident)? { $($case:ident [$($need:ident),*],)+ })+) => {
        $($crate::conformance_group! { $backend; $group $(::$subgroup)? { $($case [$($need),*],)+ } })+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_group {
    ($backend:ident; $group:ident { $($case:ident [$($need:ident),*],)+ }) => {
        mod $group {
            use super::$backend;
            $($crate::conformance_test! { $backend; $case; $group::$case; [$($need),*] })+
        }
    };
    // A group within a group: the modules of two can't have one name, so the group's name goes before.
    ($backend:ident; $group:ident::live { $($case:ident [$($need:ident),*],)+ }) => {
        mod schema_changes_live {
            use super::$backend;
            $($crate::conformance_test! { $backend; $case; $group::live::$case; [$($need),*] })+
        }
    };
    ($backend:ident; $group:ident::while_stopped { $($case:ident [$($need:ident),*],)+ }) => {
        mod schema_changes_while_stopped {
            use super::$backend;
            $($crate::conformance_test! { $backend; $case; $group::while_stopped::$case; [$($need),*] })+
        }
    };
    ($backend:ident; $group:ident::under_load { $($case:ident [$($need:ident),*],)+ }) => {
        mod schema_changes_under_load {
            use super::$backend;
            $($crate::conformance_test! { $backend; $case; $group::under_load::$case; [$($need),*] })+
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_test {
    ($backend:ident; $case:ident; $($path:ident)::+; [$($need:ident),*]) => {
        #[test]
        fn $case() {
            $crate::conformance::run::<$backend>(
                &[$($crate::conformance::Capability::$need),*],
                |scene| ::std::boxed::Box::pin($crate::conformance::cases::$($path)::+(scene)),
            );
        }
    };
}

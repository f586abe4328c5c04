//! Tests rooms whose members are on several nodes.
//!
//! The nodes are real servers, on each runtime and on both, over each real broker.

mod closes;
mod commands;
#[allow(dead_code, reason = "the tests of clients need more of it")]
#[path = "client/cuts.rs"]
mod cuts;
mod device;
mod faults;
mod handover;
mod history;
mod info;
mod listener;
mod members;
mod messages;
pub(crate) mod nodes;
mod order;
mod partitions;
mod returns;
mod slow;
mod tap;
mod versions;

/// Declares tests that run over each broker, with nodes on each runtime.
macro_rules! on_all_nodes {
    ($($module:ident::$case:ident,)*) => {
        $(#[test] fn $case() {
            nodes::on_all($module::$case);
        })*
    };
}

on_all_nodes! {
    members::join_lists_and_notifies_members_of_all_nodes,
    members::later_node_shows_all_members,
    members::later_node_shows_thousands_of_rooms,
    members::presence_counts_add_up_across_nodes,
    members::move_is_atomic_for_other_nodes,
    history::position_of_another_node_is_not_own_position,
    history::ordered_room_has_no_history,
    info::extended_members_see_info_of_remote_members,
    messages::messages_and_direct_messages_reach_other_nodes,
    messages::largest_message_and_unusual_names_cross_nodes,
    messages::no_message_follows_leave_or_comes_from_non_members,
    messages::shared_room_can_be_required_across_nodes,
    commands::application_commands_remote_connections,
    commands::kick_cancels_pending_joins_on_all_nodes,
    commands::unknown_id_is_reported,
    commands::oversized_application_message_is_rejected_with_warning,
    commands::health_waits_for_other_nodes,
    order::ordered_room_has_same_order_on_all_nodes,
    returns::reconnect_to_another_node_leaves_no_ghost,
    returns::half_open_socket_closes_when_client_moves_to_another_node,
    returns::away_members_are_shown_on_all_nodes,
    handover::session_resumes_at_another_node_without_loss,
    handover::repeated_node_changes_neither_lose_nor_duplicate,
    handover::session_has_claims_of_last_login,
    handover::session_follows_client_through_repeated_returns,
    handover::session_requires_its_token_and_user,
    handover::stopping_node_closes_only_own_sessions,
    handover::isolated_node_loses_sessions_at_other_nodes,
    handover::stalled_remote_client_loses_session_without_delaying_others,
    returns::user_is_reachable_on_all_nodes,
    closes::final_close_reaches_client_at_another_node_until_answered,
    closes::final_close_requires_token_and_user_at_another_node,
    closes::final_close_over_tunnel_is_kept_until_answered,
    closes::further_return_ends_earlier_tunnel_with_final_close,
    closes::full_node_closes_client_at_another_node,
    faults::frames_of_other_clusters_are_ignored,
    faults::node_without_broker_shows_own_members,
    faults::health_can_depend_on_broker_but_stop_does_not,
    messages::messages_of_each_sender_are_complete_and_in_order,
    faults::broker_restart_loses_no_message,
    faults::members_of_stopping_node_leave,
    faults::wrong_broker_address_only_warns,
    partitions::isolated_node_forms_smaller_room_until_reconnected,
    partitions::flapping_node_is_readmitted_with_backoff,
    partitions::restarted_node_ends_wait_for_predecessor,
    versions::incompatible_node_is_listed_but_not_contacted,
    slow::slow_node_costs_bounded_journal_without_delaying_others,
}

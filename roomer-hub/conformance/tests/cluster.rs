//! Tests rooms whose members are on several nodes: real servers on each runtime, and on both, over
//! each real broker.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[allow(dead_code, reason = "the tests of clients need more of it")]
#[path = "client/cuts.rs"]
mod cuts;

mod cluster {
    pub(crate) mod commands;
    pub(crate) mod device;
    pub(crate) mod faults;
    pub(crate) mod handover;
    pub(crate) mod history;
    pub(crate) mod info;
    pub(crate) mod listener;
    pub(crate) mod members;
    pub(crate) mod messages;
    pub(crate) mod nodes;
    pub(crate) mod order;
    pub(crate) mod partitions;
    pub(crate) mod returns;
    pub(crate) mod slow;
    pub(crate) mod tap;
    pub(crate) mod versions;
}

/// Declares tests that run over each broker, with nodes on each runtime.
macro_rules! on_all_nodes {
    ($($module:ident::$case:ident,)*) => {
        $(#[test] fn $case() {
            cluster::nodes::on_all(cluster::$module::$case);
        })*
    };
}

on_all_nodes! {
    members::a_join_lists_the_members_of_all_nodes_and_they_are_notified,
    members::a_node_that_starts_later_shows_all_members,
    members::a_node_that_starts_later_shows_thousands_of_rooms,
    members::rooms_that_count_add_up_and_rooms_without_presence_stay_silent,
    members::a_move_is_one_step_for_other_nodes,
    history::a_position_of_another_node_is_not_mistaken_for_an_own_one,
    history::a_room_with_one_order_does_not_remember,
    info::extended_members_see_the_info_of_members_on_other_nodes,
    messages::messages_and_direct_messages_reach_other_nodes,
    messages::the_largest_message_and_the_oddest_names_pass,
    messages::nothing_follows_a_leave_and_nothing_comes_from_outside,
    messages::direct_messages_only_reach_clients_in_a_common_room_if_so_configured,
    commands::the_application_commands_connections_of_other_nodes,
    commands::an_unknown_id_is_reported_as_such,
    commands::a_message_of_the_application_above_the_limit_is_refused_with_a_warning,
    commands::health_waits_for_the_other_nodes,
    order::a_room_with_one_order_has_it_on_all_nodes,
    returns::a_client_that_returns_to_another_node_leaves_no_ghost,
    returns::a_socket_that_looks_open_ends_when_its_client_is_at_another_node,
    returns::members_that_are_away_are_shown_on_all_nodes,
    handover::a_session_continues_at_another_node_without_a_loss,
    handover::a_client_that_changes_its_node_again_and_again_loses_and_doubles_nothing,
    handover::the_claims_of_a_session_are_those_of_its_last_login,
    handover::a_client_that_returns_again_takes_its_session_along,
    handover::only_the_token_and_the_user_of_a_session_continue_it,
    handover::a_node_that_ends_closes_its_sessions_and_leaves_those_of_others,
    handover::a_node_that_is_cut_off_loses_its_sessions_elsewhere,
    handover::a_client_that_does_not_read_loses_its_session_and_delays_no_other,
    returns::a_user_is_reached_on_all_nodes,
    faults::frames_of_other_clusters_at_the_broker_are_ignored,
    faults::without_a_broker_each_node_shows_its_own_members,
    faults::health_can_depend_on_the_broker_and_a_stop_does_not,
    messages::each_senders_messages_are_in_order_and_complete,
    faults::nothing_is_lost_while_the_broker_restarts,
    faults::a_node_that_stops_in_order_takes_its_members_along,
    faults::a_wrong_address_costs_only_a_warning,
    partitions::a_node_that_is_cut_off_is_a_smaller_room_until_it_is_back,
    partitions::a_node_that_dies_often_is_admitted_later_each_time,
    partitions::a_node_that_starts_again_ends_the_wait_for_the_one_before,
    versions::a_node_without_a_common_version_is_shown_and_not_talked_to,
    slow::a_slow_node_costs_others_a_bounded_journal_and_does_not_hold_them_up,
}

//! Real containers, end to end: launcher, supervisor, isolation, containerizer.
//!
//! A launcher is forked before any thread exists, which libtest does not allow; so this binary has a
//! `main` of its own that speaks the part of libtest's command line that cargo and nextest use.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test program: a panic is its way to fail, standard output its report"
)]

mod agent_process;
mod attacks;
mod confine;
mod ends;
mod figures;
mod guest;
mod host;
mod leaks;
mod leftovers;
mod limits;
mod logs;
mod nested;
mod profile;
mod recovery;
mod running;
mod spares;
mod together;
mod unprivileged;
mod volumes;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use lonja_agent::launcher::{Launcher, LauncherOptions};

/// One named rule and the function that proves it. An `Err` says why it was skipped.
struct Check {
    name: &'static str,
    run: for<'a> fn(&'a Launcher) -> BoxFuture<'a, Result<(), String>>,
}

/// Names functions of a module as checks.
#[macro_export]
macro_rules! checks {
    ($($module:ident :: $name:ident),* $(,)?) => {
        vec![$($crate::Check {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: |launcher| futures::FutureExt::boxed($crate::$module::$name(launcher)),
        }),*]
    };
}

fn all_checks() -> Vec<Check> {
    checks![
        nested::output_and_status_are_its_own_and_the_task_lives_on,
        nested::it_is_where_the_task_is,
        nested::it_brings_nothing_of_the_host_along,
        nested::it_dies_with_its_container,
        nested::nobody_wants_it_so_it_ends,
        nested::a_time_limit_ends_it,
        nested::a_flood_is_cut_where_asked,
        nested::what_cannot_run_says_why,
        nested::another_user_is_taken,
        nested::input_reaches_it_and_its_end_too,
        nested::a_signal_reaches_it,
        nested::a_terminal_is_its_own_and_has_a_size,
        nested::a_child_that_keeps_the_streams_does_not_keep_the_end,
        nested::in_a_hardened_container_it_is_nobody_and_in_its_network,
        leftovers::what_it_leaves_behind_ends_with_it,
        leftovers::on_v1_alone_nothing_is_left_either,
        leftovers::what_a_killed_custodian_leaves_behind_ends_too,
        leftovers::what_it_uses_counts_for_the_task,
        leftovers::the_tasks_limits_hold_for_it,
        leftovers::a_killed_agent_leaves_the_task_and_nothing_beside_it,
        logs::a_terminal_of_its_own_is_logged_and_can_be_typed_into,
        logs::a_task_without_a_terminal_has_none_to_attach_to,
        logs::output_is_complete_across_files,
        logs::a_flood_keeps_the_newest_files_and_no_more,
        logs::what_a_task_wrote_right_before_its_end_is_there,
        logs::the_task_may_open_its_output_by_name,
        logs::a_task_that_closes_its_output_costs_nothing,
        logs::a_log_that_was_replaced_before_the_start_fails_the_task,
        logs::without_limits_the_task_writes_the_file_itself,
        logs::a_writer_that_stands_still_does_not_hold_the_task,
        logs::a_writer_that_is_killed_does_not_hold_the_task,
        logs::a_command_that_does_not_run_leaves_no_process,
        running::output_and_status_are_the_commands_own,
        running::a_signal_is_told_apart_from_a_status,
        running::a_missing_command_fails_by_its_name,
        running::the_tasks_own_path_finds_the_command,
        running::an_unknown_user_fails_by_its_name,
        running::the_task_runs_as_its_user_and_owns_its_logs,
        running::a_missing_sandbox_fails_by_its_path,
        running::the_container_sees_only_itself,
        running::nothing_of_the_agents_leaks_into_the_task,
        running::volumes_show_host_files_and_keep_read_only,
        running::a_volume_path_through_a_link_is_refused,
        running::an_id_is_launched_once,
        running::many_launches_at_once_all_run,
        running::the_launcher_holds_nothing_of_the_agents,
        attacks::every_attack_of_the_list_has_its_line,
        attacks::a_task_that_is_not_confined_is_noticed,
        attacks::profile_host_keeps_the_programs_of_the_runtime,
        attacks::the_default_profile_holds,
        attacks::the_hardened_profile_holds,
        confine::a_root_task_holds_the_few_capabilities_of_its_profile,
        confine::a_hardened_root_task_holds_nothing,
        confine::effective_capabilities_reach_a_task_of_any_user,
        confine::the_host_profile_leaves_root_its_power,
        confine::process_limits_are_the_usual_ones_or_those_asked_for,
        confine::a_limit_beyond_the_agents_own_is_set_or_refused_by_its_name,
        confine::tasks_go_before_daemons_when_memory_is_short,
        confine::a_filter_implies_no_new_privileges,
        ends::a_task_that_obeys_sigterm_ends_by_itself,
        ends::a_task_that_ignores_sigterm_is_killed_after_its_grace,
        ends::a_shorter_grace_shortens_the_one_under_way,
        ends::orphans_are_reaped,
        ends::daemons_die_with_their_task,
        ends::a_container_dies_with_its_supervisor,
        ends::a_container_that_waits_for_room_to_say_how_it_ended_can_be_ended,
        limits::a_fork_bomb_stays_inside_and_dies_whole,
        limits::a_memory_breach_ends_every_process,
        limits::a_memory_breach_of_the_task_itself_is_told,
        limits::a_process_that_the_host_had_no_memory_for_takes_its_container_along,
        limits::limits_reach_the_kernel,
        limits::a_hard_cpu_limit_holds_many_threads_back,
        limits::a_request_weighs_and_sets_aside,
        limits::there_is_no_swap_unless_the_agent_says_so,
        limits::a_fork_beyond_the_limit_fails_and_is_counted,
        limits::only_listed_devices_can_be_made_or_opened,
        limits::an_allowed_device_has_a_node,
        limits::rates_of_a_disk_reach_the_kernel,
        limits::huge_pages_are_none_unless_allowed,
        limits::files_in_memory_count_as_memory,
        limits::a_breach_leaves_the_neighbour_alone,
        recovery::a_killed_agent_finds_its_container_with_the_same_pid,
        recovery::an_end_while_the_agent_was_away_is_told_truly,
        recovery::a_reused_pid_is_neither_adopted_nor_signalled,
        recovery::a_damaged_exit_record_is_unknown_not_trusted,
        recovery::an_abandoned_launch_never_starts,
        recovery::strays_are_destroyed_and_other_instances_left_alone,
        recovery::a_throw_away_launcher_leaves_nothing_when_its_agent_is_killed,
        recovery::a_throw_away_launcher_that_is_killed_takes_its_containers_along,
        spares::a_launch_takes_a_spare_and_another_is_made,
        spares::limits_hold_in_a_spare,
        spares::a_container_in_a_spare_is_found_again,
        spares::a_killed_agents_idle_spares_leave_nothing,
        spares::a_killed_launchers_idle_spares_leave_nothing,
        spares::many_launches_leave_the_spares_alone,
        profile::the_root_holds_what_was_put_into_it,
        profile::every_mount_refuses_set_user_id_and_all_but_six_devices,
        profile::root_inside_is_nobody_outside_and_no_two_containers_share_a_user,
        profile::secrets_of_the_host_and_of_others_are_not_there,
        profile::what_tells_of_the_host_is_masked_and_what_changes_it_read_only,
        profile::there_is_no_path_back,
        profile::init_keeps_no_power_but_to_hand_signals_on,
        profile::files_belong_outside_to_whom_they_belong_inside,
        profile::the_logs_can_be_opened_by_name,
        profile::temporary_files_are_its_own_and_bounded,
        profile::without_network_there_is_a_loopback_alone,
        profile::hardened_containers_have_no_root_and_write_nowhere_but_where_they_may,
        profile::profile_host_shows_the_host,
        profile::without_user_namespaces_the_root_is_still_its_own,
        profile::nothing_mounted_inside_comes_out,
        profile::a_volume_through_a_link_in_another_volume_is_refused,
        profile::a_host_path_that_becomes_a_link_is_refused,
        profile::users_without_a_place_inside_are_refused,
        profile::another_kind_of_container_finds_a_spare_the_second_time,
        volumes::a_volume_outlives_its_tasks,
        volumes::a_read_only_volume_cannot_be_written,
        volumes::a_shared_volume_is_used_by_two_tasks_at_once,
        volumes::a_volume_belongs_to_the_tasks_user_who_cannot_reach_another,
        volumes::destroying_a_volume_deletes_its_data,
        volumes::a_link_planted_by_a_task_leads_nobody_out,
        volumes::a_container_path_that_leaves_the_sandbox_is_refused,
        volumes::killed_at_any_step_no_volume_is_lost_and_no_other_folder_stays,
        together::siblings_meet_on_their_loopback_and_nobody_else_does,
        together::siblings_share_network_and_queues_and_nothing_else,
        together::who_uses_the_hosts_network_shows_no_sibling_the_way_there,
        together::many_that_come_at_once_share_and_the_last_takes_it_along,
        together::a_killed_supervisor_is_nobodys_way_in_and_is_swept_away,
        together::what_is_shared_outlives_the_agent,
        leaks::many_launches_leave_the_host_as_it_was,
        leaks::many_groups_leave_the_host_as_it_was,
        unprivileged::without_root_containers_run_and_limits_are_said_to_be_off,
        guest::everything_holds_on_control_groups_v2_alone,
    ]
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((mode, rest)) = arguments.split_first()
        && let Some(status) = agent_process::run_as(mode, rest)
    {
        return status;
    }
    let checks = selected(&arguments);
    if arguments.iter().any(|argument| argument == "--list") {
        // Asked for ignored ones, nextest wants an empty list.
        if !arguments.iter().any(|argument| argument == "--ignored") {
            checks.iter().for_each(|check| println!("{}: test", check.name));
        }
        return ExitCode::SUCCESS;
    }
    let launcher = Launcher::fork(LauncherOptions::default()).unwrap();
    let failed = run(&checks, &launcher);
    launcher.stop().unwrap();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// The checks that the command line asks for.
fn selected(arguments: &[String]) -> Vec<Check> {
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let mut filters: Vec<&str> = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--format" | "--test-threads" | "--color" | "-Z" => {
                rest.next();
            }
            flag if flag.starts_with('-') => {}
            filter => filters.push(filter),
        }
    }
    let mut checks = all_checks();
    checks.retain(|check| {
        let fits = |filter: &&str| match exact {
            true => check.name == *filter,
            false => check.name.contains(*filter),
        };
        filters.is_empty() || filters.iter().any(fits)
    });
    checks
}

fn run(checks: &[Check], launcher: &Launcher) -> usize {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("\nrunning {} tests", checks.len());
    let mut failed = Vec::new();
    let mut skipped = 0;
    for check in checks {
        let check_run = AssertUnwindSafe((check.run)(launcher)).catch_unwind();
        // An emulated machine is slow to boot, and its parts may have to be got first.
        let seconds = if check.name.starts_with("guest::") { 240 } else { 60 };
        let limited = async { tokio::time::timeout(Duration::from_secs(seconds), check_run).await };
        let verdict = match runtime.block_on(limited) {
            Ok(Ok(Ok(()))) => "ok".to_owned(),
            Ok(Ok(Err(why))) => {
                skipped += 1;
                format!("ok (skipped: {why})")
            }
            Ok(Err(_panic)) => {
                failed.push(check.name);
                "FAILED".to_owned()
            }
            Err(_) => {
                failed.push(check.name);
                format!("FAILED (took more than {seconds} s)")
            }
        };
        println!("test {} ... {verdict}", check.name);
    }
    // A blocked helper thread of a failed check must not hold up the end.
    runtime.shutdown_background();
    let passed = checks.len() - failed.len();
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; {skipped} of them skipped; 0 ignored",
        failed.len()
    );
    failed.len()
}

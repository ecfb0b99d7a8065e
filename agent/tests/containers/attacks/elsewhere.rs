//! Attacks of the list that are tried by tests of their own, or that cannot be tried here, with the reason.

use std::path::Path;

/// One of them.
pub struct Elsewhere {
    /// Its number in the list.
    pub id: &'static str,
    /// The tests, each as `FILE::NAME` from the top folder.
    tests: &'static [&'static str],
    /// Why there is no test, or what else is to be known.
    note: &'static str,
}

const fn row(id: &'static str, tests: &'static [&'static str], note: &'static str) -> Elsewhere {
    Elsewhere { id, tests, note }
}

#[rustfmt::skip]
pub const ELSEWHERE: &[Elsewhere] = &[
    row("A-39", &["agent/tests/containers/limits.rs::a_hard_cpu_limit_holds_many_threads_back"], ""),
    row("A-42", &["agent/tests/containers/nested.rs::it_is_where_the_task_is"], "nothing lets a task name a working directory; a command beside it begins where the task did"),
    row("A-44", &["agent/tests/containers/running.rs::a_volume_path_through_a_link_is_refused", "agent/tests/containers/profile.rs::a_volume_through_a_link_in_another_volume_is_refused"], "there are no images, so that links lie in volumes alone"),
    row("A-45", &["agent/tests/containers/profile.rs::a_host_path_that_becomes_a_link_is_refused", "agent/tests/containers/volumes.rs::a_link_planted_by_a_task_leads_nobody_out"], ""),
    row("A-46", &["agent/src/supervisor/spec.rs::a_description_that_no_host_can_run_is_refused", "tests/attacks.rs::odd_names_and_values_harm_nobody"], ""),
    row("A-47", &["agent/tests/containers/profile.rs::nothing_mounted_inside_comes_out"], ""),
    row("A-48", &["agent/tests/containers/ends.rs::daemons_die_with_their_task", "tests/isolation.rs::daemons_do_not_outlive_their_task"], ""),
    row("A-53", &["tests/executors.rs::a_token_lets_in_its_own_executor_alone_and_only_while_it_lives"], "the calls of others have no token yet: who reaches master and agents is trusted, as docs/operations.md says"),
    row("A-55", &[], "sockets are those of A-78; the host's network is not divided among its users, and `--network none` has no traffic"),
    row("A-56", &["tests/attacks.rs::odd_names_and_values_harm_nobody"], ""),
    row("A-61", &["agent/src/sandbox/files/tests.rs::every_way_out_is_closed_and_says_so", "agent/src/sandbox/files/tests.rs::swaps_under_our_hands_lead_nobody_out", "tests/files.rs::no_path_leads_out_blocks_or_explodes"], ""),
    row("A-62", &["agent/src/volumes/tests.rs::a_link_in_the_middle_of_a_path_is_not_followed_either", "agent/tests/containers/volumes.rs::a_container_path_that_leaves_the_sandbox_is_refused"], ""),
    row("A-63", &["model/src/files.rs::an_output_file_stays_below_the_sandbox"], ""),
    row("A-64", &["agent/src/fetcher/child/unpack/tests.rs::nothing_of_a_tar_archive_leaves_the_sandbox", "agent/src/fetcher/child/unpack/tests.rs::nothing_of_a_zip_archive_leaves_the_sandbox", "agent/src/fetcher/child/unpack/tests.rs::a_bomb_is_stopped_whatever_it_is_packed_in"], ""),
    row("A-65", &["tests/fetch.rs::what_is_kept_is_fetched_once_for_each_user"], ""),
    row("A-67", &["agent/src/fetcher/addresses.rs::what_only_this_host_can_reach_is_refused", "tests/fetch.rs::what_only_the_agents_host_can_reach_is_not_fetched", "tests/fetch.rs::a_redirect_leads_nowhere_that_was_not_allowed"], ""),
    row("A-68", &["agent/src/disk/removal.rs::nothing_that_a_task_leaves_behind_stays_and_nothing_outside_goes", "tests/disk.rs::files_of_ended_tasks_go_when_their_time_has_come_whatever_is_in_them"], ""),
    row("A-70", &["agent/tests/containers/limits.rs::a_fork_bomb_stays_inside_and_dies_whole", "agent/tests/containers/limits.rs::a_fork_beyond_the_limit_fails_and_is_counted"], ""),
    row("A-72", &["agent/tests/containers/limits.rs::a_memory_breach_of_the_task_itself_is_told", "tests/isolation.rs::memory_over_the_limit_ends_the_whole_task_and_says_so"], ""),
    row("A-73", &["agent/tests/containers/limits.rs::a_memory_breach_ends_every_process", "agent/tests/containers/limits.rs::a_process_that_the_host_had_no_memory_for_takes_its_container_along"], ""),
    row("A-74", &["agent/tests/containers/limits.rs::files_in_memory_count_as_memory"], ""),
    row("A-75", &["tests/disk.rs::a_sandbox_on_an_image_is_full_survives_its_agent_and_leaves_nothing_mounted", "tests/disk.rs::on_a_full_disk_the_agent_keeps_its_tasks_tells_their_ends_takes_no_others_and_resumes"], ""),
    row("A-76", &["tests/disk.rs::a_sandbox_over_its_limit_ends_its_task_alone_with_limit_and_use"], ""),
    row("A-77", &["tests/disk.rs::a_sandbox_over_its_limit_ends_its_task_alone_with_limit_and_use"], ""),
    row("A-79", &[], "the page and name caches of a host are shared, and nothing divides them: see \"What is not promised\""),
    row("A-82", &["agent/tests/containers/leaks.rs::many_launches_leave_the_host_as_it_was", "agent/tests/containers/recovery.rs::an_abandoned_launch_never_starts"], ""),
];

/// Each names a test that is there, or a reason; the docs say the same.
pub fn each_is_tried_where_it_says_or_says_why_not(docs: &str) {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for Elsewhere { id, tests, note } in ELSEWHERE {
        assert!(!tests.is_empty() || !note.is_empty(), "{id} is neither tried nor is said why not");
        for test in *tests {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{id}: {test}"));
            let text =
                std::fs::read_to_string(top.join(file)).unwrap_or_else(|_| panic!("{id}: no file {file}"));
            assert!(text.contains(&format!("fn {name}(")), "{id}: {file} has no test {name}");
        }
        let named: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
        let line = format!("| {id} | {} | {note} |", named.join(", "));
        assert!(docs.contains(&line), "docs/isolation.md says otherwise than: {line}");
    }
}

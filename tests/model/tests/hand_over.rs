//! The pong and close hand-over between the threads of a connection, and that of silent directions
//! to the watching thread and back: each event sequence of `src/hand_over.rs` and `src/parked.rs` is
//! a test. They stand there because what they try is private to the crate that compiles it.

macro_rules! tests {
    ($module:ident: $($name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                model::$module::$name();
            }
        )+
    };
}

tests!(
    parked:
    a_thread_that_waits_in_a_read_is_called_out_of_it,
    what_comes_at_any_moment_of_sleep_is_read_once_and_in_order,
);

tests!(
    hand_over:
    a_pong_is_never_forgotten_and_tells_the_last_ping,
    the_reader_never_waits_for_a_client_that_does_not_read,
    one_close_is_sent_and_nothing_behind_it,
    a_stop_while_the_101_is_sent_is_told_behind_it_or_cuts,
    a_silent_client_is_pinged_once_and_then_cut_and_one_that_answers_is_not,
    the_end_of_a_direction_is_never_missed,
);

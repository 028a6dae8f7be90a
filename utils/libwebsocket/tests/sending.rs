//! The sending state machine, step by step.

use common::Utf8;
use libwebsocket::Opcode;
use libwebsocket::send::Sender;

#[test]
fn nothing_goes_into_a_frame_or_after_a_close() {
    let mut sender = Sender::new();
    sender.begin(0x82, 10);
    sender.sent(3);
    assert!(!sender.control(Opcode::Pong, b""));
    sender.cancel();
    assert_eq!(sender.owed(), 9, "what has begun cannot be taken back");
    sender.sent(9);
    assert!(sender.control(Opcode::Close, &[3, 0xe8]));
    assert!(sender.is_closed() && !sender.control(Opcode::Ping, b""));
    assert_eq!(sender.pending(), [0x88, 2, 3, 0xe8]);
}

#[test]
fn empty_messages_to_a_kernel_that_takes_a_byte_more_each_time_need_no_more_room() {
    let mut sender = Sender::new();
    sender.begin(0x82, 0);
    sender.sent(1);
    for _ in 0..1000 {
        sender.begin(0x82, 0);
        assert_eq!(sender.pending(), [0, 0x82, 0]);
        sender.sent(2);
    }
}

#[test]
fn fragments_keep_their_order_and_text_its_form() {
    let mut sender = Sender::new();
    assert_eq!(sender.message_frame(Opcode::Continuation, true), None);
    assert_eq!(sender.message_frame(Opcode::Ping, true), None);
    assert!(
        sender
            .text_is_valid(Opcode::Text, true, &[&[0xe2, 0x82]])
            .is_none()
    );
    let cut = sender
        .text_is_valid(Opcode::Text, false, &[&[0xe2, 0x82]])
        .unwrap();
    assert_eq!(sender.message_frame(Opcode::Text, false), Some(1));
    sender.message_began(Opcode::Text, false, cut);
    assert_eq!(sender.message_frame(Opcode::Text, true), None);
    assert!(
        sender
            .text_is_valid(Opcode::Continuation, true, &[b"x"])
            .is_none()
    );
    assert!(
        sender
            .text_is_valid(Opcode::Continuation, true, &[&[0xac]])
            .is_some()
    );
    sender.message_began(Opcode::Continuation, true, Utf8::new());
    assert_eq!(sender.message_frame(Opcode::Continuation, true), None);
}

#[test]
fn half_a_character_is_given_up_once() {
    let mut sender = Sender::new();
    sender.hold(&[0xe2, 0x82]);
    for _ in 0..100 {
        sender.give_up_held();
    }
    assert_eq!(sender.pending(), [0x82, 2, 0xe2, 0x82]);
    sender.sent(4);
    sender.give_up_held();
    assert!(sender.is_idle() && sender.held().is_empty());
}

#[test]
fn a_frame_has_begun_with_its_first_byte() {
    let mut sender = Sender::new();
    assert!(sender.control(Opcode::Pong, b"?"));
    sender.begin(0x82, 5);
    sender.sent(3);
    assert!(!sender.has_begun(), "that was the pong");
    sender.cancel();
    assert!(!sender.has_begun() && sender.is_idle());
    sender.begin(0x82, 0);
    sender.sent(1);
    sender.cancel();
    assert!(sender.has_begun() && sender.pending() == [0]);
}

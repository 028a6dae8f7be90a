//! Tests of `to_client`: what stays in a buffer between two reads.

use super::*;

#[test]
fn a_quiet_connection_gives_its_buffer_back_but_no_cut_character() {
    let (writer, far) = open_writer();
    let (backend, mut end) = stream_pair();
    let kind = MessageType::new(None);
    let mut out = ToClient::new(
        &writer,
        backend.is_packet(),
        &service(Framing::Stream),
        Some(&kind),
        &AMPLE,
        0,
    );
    let mut forward = |out: &mut ToClient<'_>, bytes: &[u8]| {
        end.write_all(bytes).expect("buffer space");
        match backend.read(out.space()).expect("readable") {
            Input::Bytes(count) => out.forward(count).expect("sent"),
            other => panic!("{other:?}"),
        }
    };
    forward(&mut out, &[b'x'; SMALL_BUFFER]);
    assert!(out.buffer.len() > SMALL_BUFFER, "it grows under load");
    forward(&mut out, b"\xe2\x82");
    for _ in 1..SMALL_READS {
        assert!(
            out.buffer.len() > SMALL_BUFFER,
            "it is not given back at once"
        );
        forward(&mut out, b"\xac\xe2\x82");
    }
    assert_eq!(out.buffer.len(), SMALL_BUFFER);
    forward(&mut out, b"\xac");
    writer.client().cut();
    assert_eq!(messages(far).pop(), Some(text("\u{20ac}")));
}

#[test]
fn a_million_texts_cut_at_random_points_give_no_invalid_text() {
    /// Fewer where the tests run in an emulator, as they do for the targets with musl.
    const COUNT: usize = if cfg!(target_env = "gnu") {
        1_000_000
    } else {
        10_000
    };
    const SEED: u64 = 0x2545_f491_4f6c_dd1d;
    let letters = [
        "a",
        "é",
        "€",
        "🐒",
        "\0",
        "\u{7ff}",
        "\u{ffff}",
        "\u{10ffff}",
    ];
    // xorshift: the same texts in every run.
    let mut state = SEED;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % limit
    };
    let (mut bytes, mut cuts) = (Vec::new(), vec![0]);
    for _ in 0..COUNT {
        let start = bytes.len();
        for _ in 0..=below(4) {
            bytes.extend_from_slice(letters[below(letters.len())].as_bytes());
        }
        // Anywhere in this text, and mostly within a character.
        cuts.push(start + below(bytes.len() - start));
    }
    cuts.push(bytes.len());
    let (writer, far) = open_writer();
    let reader = std::thread::spawn(move || {
        let (mut got, mut texts) = (Vec::new(), 0);
        let mut far = std::io::BufReader::new(far);
        let mut head = [0; 2];
        while far.read_exact(&mut head).is_ok() {
            assert!(head[0] == 0x81 && head[1] < 126, "a short text: {head:?}");
            let start = got.len();
            got.resize(start + usize::from(head[1]), 0);
            far.read_exact(&mut got[start..]).expect("a payload");
            std::str::from_utf8(&got[start..]).expect("a text is UTF-8");
            texts += 1;
        }
        (got, texts)
    });
    let (backend, _end) = stream_pair();
    let (config, kind) = (service(Framing::Stream), MessageType::new(None));
    let mut out = ToClient::new(
        &writer,
        backend.is_packet(),
        &config,
        Some(&kind),
        &AMPLE,
        0,
    );
    for cut in cuts.windows(2).filter(|cut| cut[0] < cut[1]) {
        let piece = &bytes[cut[0]..cut[1]];
        out.space()[..piece.len()].copy_from_slice(piece);
        out.forward(piece.len()).expect("all of it is text");
    }
    out.end().expect("the last character is whole");
    drop(out);
    drop(writer);
    let (got, texts) = reader.join().expect("no panic");
    assert!(got == bytes);
    println!("{COUNT} texts (seed {SEED:#x}) cut once each: {texts} messages, all of them UTF-8");
}

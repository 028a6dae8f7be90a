//! A Rust plugin seen through its C interface, as the server sees it.

// The server's side of the interface is played here.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};

use rpcplugin::abi::{ABI, Answer, Table};
use rpcplugin::{Error, Json, Params, Plugin};

thread_local! {
    static DROPPED: Cell<usize> = const { Cell::new(0) };
}

struct Frail(String);

impl Plugin for Frail {
    fn open(config: &str) -> Result<Self, Error> {
        match config {
            "panic" => panic!("on purpose"),
            "refuse" => Err(Error::failure("refused")),
            _ => Ok(Frail(config.to_string())),
        }
    }
}

impl Drop for Frail {
    fn drop(&mut self) {
        DROPPED.set(DROPPED.get() + 1);
        assert!(self.0 != "fragile", "on purpose");
    }
}

fn echo(frail: &mut Frail, params: Params<'_>) -> Result<Json, Error> {
    Ok(Json::of(&(&frail.0, params.text())))
}

fn panics(_: &mut Frail, _: Params<'_>) -> Result<Json, Error> {
    panic!("on purpose")
}

fn fails(_: &mut Frail, _: Params<'_>) -> Result<Json, Error> {
    Err(Error {
        code: 7,
        message: "a\0b".into(),
        data: Some(Json::of(&[1])),
    })
}

fn asks(_: &mut Frail, params: Params<'_>) -> Result<Json, Error> {
    let bytes = params
        .text()
        .and_then(|text| text.trim_matches(['[', ']']).parse().ok());
    rpcplugin::reserve(bytes.unwrap_or(0))?;
    let client = rpcplugin::client().map(|client| client.to_string());
    Ok(Json::of(&(client, rpcplugin::is_wanted())))
}

rpcplugin::export!(Frail { "echo" => echo, "panics" => panics, "fails" => fails, "asks" => asks });

/// What an answer was given, as words.
type Said = Option<String>;

unsafe extern "C" fn result(answer: *mut Answer, json: *const c_char, length: usize) {
    // SAFETY: `answer` comes from `answer_into`; the plugin passes `length` bytes.
    unsafe {
        let json = std::slice::from_raw_parts(json.cast::<u8>(), length);
        *(*answer).server.cast::<Said>() = Some(String::from_utf8_lossy(json).into_owned());
    }
}

unsafe extern "C" fn error(
    answer: *mut Answer,
    code: i32,
    message: *const c_char,
    data: *const c_char,
) {
    // SAFETY: `answer` comes from `answer_into`; the plugin passes C strings, or null.
    unsafe {
        let message = CStr::from_ptr(message).to_string_lossy();
        let data = if data.is_null() {
            c"-"
        } else {
            CStr::from_ptr(data)
        };
        let said = format!("{code} {message} {}", data.to_string_lossy());
        *(*answer).server.cast::<Said>() = Some(said);
    }
}

/// No call is wanted that has said something already.
unsafe extern "C" fn wanted(answer: *mut Answer) -> c_int {
    // SAFETY: `answer` comes from `answer_into`.
    unsafe { (*(*answer).server.cast::<Said>()).is_none().into() }
}

/// A kibibyte and no more.
unsafe extern "C" fn reserve(_: *mut Answer, bytes: usize) -> c_int {
    (bytes <= 1024).into()
}

fn answer_into(said: &mut Said) -> Answer {
    Answer {
        server: (&raw mut *said).cast(),
        result,
        error,
        wanted,
        reserve,
        client: c"192.0.2.7".as_ptr(),
    }
}

fn table() -> &'static Table {
    // SAFETY: the entry returns its table or null.
    unsafe { rpcplugin_entry(ABI).as_ref() }.expect("the same version")
}

fn open(config: &CStr) -> Result<*mut c_void, String> {
    let (mut said, mut connection) = (None, std::ptr::null_mut());
    let mut answer = answer_into(&mut said);
    let open = table().open.expect("a function");
    // SAFETY: all pointers are valid for the call.
    let code = unsafe { open(config.as_ptr(), &raw mut connection, &raw mut answer) };
    if code == 0 {
        Ok(connection)
    } else {
        Err(said.expect("a reason"))
    }
}

fn call(connection: *mut c_void, method: usize, params: Option<&CStr>) -> String {
    let mut said = None;
    let mut answer = answer_into(&mut said);
    let call = table().call.expect("a function");
    let length = params.map_or(0, CStr::count_bytes);
    let params = params.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: `open` made the connection; the pointers are valid for the call.
    unsafe { call(connection, method, params, length, &raw mut answer) };
    said.expect("an answer")
}

fn close(connection: *mut c_void) {
    // SAFETY: `open` made the connection, and it is not used again.
    unsafe { table().close.expect("a function")(connection) };
}

#[test]
fn a_plugin_answers_through_the_interface() {
    let connection = open(c"config").expect("it opens");
    assert_eq!(call(connection, 0, None), r#"["config",null]"#);
    assert_eq!(call(connection, 0, Some(c"[1]")), r#"["config","[1]"]"#);
    assert_eq!(call(connection, 2, None), "7 ab [1]");
    assert!(call(connection, 0, Some(c"\"\xff\"")).starts_with("-32602"));
    assert!(call(connection, 4, None).starts_with("-32603"));
    close(connection);
    assert_eq!(DROPPED.get(), 1);
}

#[test]
fn a_plugin_asks_the_server_while_it_runs_a_call() {
    let connection = open(c"config").expect("it opens");
    let granted = r#"["192.0.2.7",true]"#;
    assert_eq!(call(connection, 3, Some(c"[1024]")), granted);
    assert!(call(connection, 3, Some(c"[1025]")).starts_with("-32000 busy"));
    close(connection);
    // Outside of a call nobody is asked.
    assert!(rpcplugin::is_wanted() && rpcplugin::client().is_none());
    rpcplugin::reserve(usize::MAX).expect("nobody counts");
}

#[test]
fn a_panic_ends_the_plugin_of_one_client_and_nothing_else() {
    let other = open(c"other").expect("it opens");
    let connection = open(c"config").expect("it opens");
    let panicked = r#"-32603 Internal error "the plugin panicked""#;
    assert_eq!(call(connection, 1, None), panicked);
    assert_eq!(call(connection, 0, None), panicked);
    assert_eq!(DROPPED.get(), 1);
    assert_eq!(call(other, 0, None), r#"["other",null]"#);
    close(connection);
    close(other);
    assert_eq!(DROPPED.get(), 2);
}

#[test]
fn a_panic_while_opening_or_closing_is_caught() {
    assert_eq!(
        open(c"panic"),
        Err(r#"-32603 Internal error "the plugin panicked""#.to_string())
    );
    assert_eq!(open(c"refuse"), Err("-32000 refused -".to_string()));
    close(open(c"fragile").expect("it opens"));
}

#[test]
fn another_version_of_the_interface_gets_no_table() {
    assert!(rpcplugin_entry(ABI + 1).is_null());
    assert!(rpcplugin_entry(0).is_null());
}

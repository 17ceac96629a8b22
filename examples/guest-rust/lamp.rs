//! The lamp of sdk/guest-c/examples/lamp.c in Rust without a package: guest ABI v1 (docs/formats/guest-abi.md) as it is.
//! rustc --edition 2021 --target wasm32-unknown-unknown --crate-type cdylib -C opt-level=s -C panic=abort lamp.rs -o lamp.wasm
//! A guest of your own takes a JSON crate; the few lines of one here read what this lamp needs and no more.

use std::alloc::{alloc, dealloc, Layout};

mod host {
    #[link(wasm_import_module = "if")]
    extern "C" {
        pub fn log(level: u32, text: *const u8, length: u32);
        pub fn http(request: *const u8, length: u32) -> i64;
        pub fn secret_ref(name: *const u8, length: u32) -> i64;
        pub fn kv_put(key: *const u8, key_length: u32, value: *const u8, value_length: u32) -> i32;
    }
}

fn layout(size: u32) -> Layout {
    Layout::from_size_align(size.max(1) as usize, 16).unwrap()
}

#[no_mangle]
pub extern "C" fn if_alloc(size: u32) -> *mut u8 {
    unsafe { alloc(layout(size)) }
}

/// # Safety
/// `memory` and `size` are those of an `if_alloc`.
#[no_mangle]
pub unsafe extern "C" fn if_free(memory: *mut u8, size: u32) {
    dealloc(memory, layout(size))
}

/// What `if_alloc` gave and the host filled becomes ours.
fn taken(packed: i64) -> String {
    let (at, length) = ((packed as u64 >> 32) as usize, packed as u32 as usize);
    let bytes = unsafe { std::slice::from_raw_parts(at as *const u8, length) };
    String::from_utf8(bytes.to_vec()).unwrap_or_default()
}

/// Stays where it is until the call ends.
fn given(text: String) -> i64 {
    let text: &'static str = Box::leak(text.into_boxed_str());
    ((text.as_ptr() as u64) << 32 | text.len() as u64) as i64
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out + "\""
}

/// What stands behind `"name":`, from its first byte; the input is compact JSON of the fabric.
fn behind<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    json.find(&format!("\"{name}\":")).map(|at| json[at + name.len() + 3..].trim_start())
}

/// A string member without escapes.
fn text<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let value = behind(json, name)?.strip_prefix('"')?;
    let value = &value[..value.find('"')?];
    (!value.contains('\\')).then_some(value)
}

fn is_on(json: &str) -> bool {
    behind(json, "on").is_some_and(|v| v.starts_with("true"))
}

fn error(kind: &str, message: &str) -> String {
    format!("{{\"error\":{{\"kind\":\"{kind}\",\"message\":{}}}}}", quoted(message))
}

fn refused(number: i64) -> String {
    error(if number <= -4 { "transient" } else { "provider" }, "the host refused")
}

fn url(input: &str) -> String {
    format!("{}/state", text(input, "url").unwrap_or("http://lamp.invalid"))
}

/// The lamp's state after the exchange, or the answer of the call.
fn exchange(input: &str, post: bool) -> Result<bool, String> {
    let handle = unsafe { host::secret_ref("lamp".as_ptr(), 4) };
    if handle < 0 {
        return Err(refused(handle));
    }
    let mut request = format!("{{\"method\":\"{}\",\"url\":{}", if post { "POST" } else { "GET" }, quoted(&url(input)));
    if post {
        let body = format!("{{\"on\":{}}}", is_on(input));
        request += &format!(",\"headers\":{{\"content-type\":\"application/json\"}},\"body\":{}", quoted(&body));
    }
    request += &format!(",\"secret\":{}}}", quoted(&taken(handle)));
    let answer = unsafe { host::http(request.as_ptr(), request.len() as u32) };
    if answer < 0 {
        return Err(refused(answer));
    }
    let answer = taken(answer).replace("\\\"", "\"");
    match behind(&answer, "status") {
        Some(status) if status.starts_with("200") => Ok(is_on(&answer)),
        Some(status) if status.starts_with('5') => Err(error("transient", "the lamp refused")),
        _ => Err(error("provider", "the lamp refused")),
    }
}

fn plan(input: &str) -> String {
    let (summary, effect) = match text(input, "operation") {
        Some("switch") if is_on(input) => ("switch the lamp on", "http.post"),
        Some("switch") => ("switch the lamp off", "http.post"),
        Some("status") => ("read the lamp's state", "http.get"),
        _ => return error("caller", "no such operation"),
    };
    format!("{{\"summary\":\"{summary}\",\"effects\":[{{\"type\":\"{effect}\",\"target\":{}}}]}}", quoted(&url(input)))
}

fn apply(input: &str) -> Result<String, String> {
    let post = match text(input, "operation") {
        Some("switch") => true,
        Some("status") => false,
        _ => return Err(error("caller", "no such operation")),
    };
    let on = exchange(input, post)?;
    let state = if on { "on" } else { "off" };
    let kept = if post { unsafe { host::kv_put("last".as_ptr(), 4, state.as_ptr(), state.len() as u32) } } else { 0 };
    if kept < 0 {
        return Err(refused(kept.into()));
    }
    let message = "the lamp answered";
    unsafe { host::log(1, message.as_ptr(), message.len() as u32) };
    Ok(format!("{{\"result\":{{\"on\":{on}}}}}"))
}

fn input(pointer: u32, length: u32) -> String {
    taken(((pointer as u64) << 32 | length as u64) as i64)
}

#[no_mangle]
pub extern "C" fn if_plan(pointer: u32, length: u32) -> i64 {
    given(plan(&input(pointer, length)))
}

#[no_mangle]
pub extern "C" fn if_apply(pointer: u32, length: u32) -> i64 {
    given(apply(&input(pointer, length)).unwrap_or_else(|error| error))
}

#[no_mangle]
pub extern "C" fn if_health(pointer: u32, length: u32) -> i64 {
    given(match text(&input(pointer, length), "url") {
        Some(url) if !url.is_empty() => String::from("{\"result\":null}"), // whether the lamp answers is not known
        _ => error("caller", "the configuration has no url"),
    })
}

//! What the linker is told. The name that programs linked with the library ask for at run time has
//! the number of its ABI. The start files of C serve constructors and destructors, which the
//! library has none of; the loader reads `.fini_array` without them. They and the build id are 1.3
//! KB.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-cdylib=-Wl,-soname,libwebsocket.so.0");
    // Elsewhere the linker may be one that knows neither, or ask for a symbol of the start files.
    let is = |name, value| std::env::var(name).is_ok_and(|own| own == value);
    if is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        println!("cargo:rustc-link-arg-cdylib=-nostartfiles");
        println!("cargo:rustc-link-arg-cdylib=-Wl,--build-id=none");
    }
}

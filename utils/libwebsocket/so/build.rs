//! What the linker is told. The name that programs linked with the library ask
//! for at run time has the number of its ABI. The start files of C serve constructors and
//! destructors, which the library has none of; the loader reads `.fini_array`
//! without them. They and the build id are 1.3 KB.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-cdylib=-Wl,-soname,libwebsocket.so.0");
    // Elsewhere the linker may be one that knows neither.
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu") {
        println!("cargo:rustc-link-arg-cdylib=-nostartfiles");
        println!("cargo:rustc-link-arg-cdylib=-Wl,--build-id=none");
    }
}

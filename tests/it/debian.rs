//! What the Debian package does with a daemon that runs.

use std::path::Path;

/// Runs the Debian package's script after an upgrade, with a systemctl of this text. Returns what
/// systemctl was asked, and what the script wrote to standard error.
fn configure(before: &[&str], systemctl: &str) -> (String, String) {
    let directory = crate::process::TempDir::new();
    let path = |name: &str| directory.path().join(name);
    let asked = path("asked");
    std::fs::write(path("main"), "100\n").expect("a file");
    for (name, text) in [("systemctl", systemctl), ("sleep", ":")] {
        let text = format!(
            "#!/bin/sh\ncd {}\necho {name} \"$*\" >>asked\n{text}\n",
            directory.path().display()
        );
        std::fs::write(path(name), text).expect("a script");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path(name), mode).expect("our own file");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("package/debian/ouistiti.postinst");
    let variable = std::env::var("PATH").expect("a path");
    let output = std::process::Command::new("sh")
        .arg(script)
        .arg("configure")
        .args(before)
        .env("PATH", format!("{}:{variable}", directory.path().display()))
        .output()
        .expect("sh runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    (std::fs::read_to_string(asked).unwrap_or_default(), errors)
}

#[test]
fn an_upgrade_of_the_debian_package_lets_the_new_binary_take_over() {
    let good = "case $1 in show) cat main ;; kill) echo 200 >main ;; esac";
    let (asked, errors) = configure(&["0.0.1"], good);
    let lines: Vec<_> = asked.lines().collect();
    let show = "systemctl show --property MainPID --value ouistiti.service";
    assert_eq!(
        lines,
        [
            "systemctl --quiet is-active ouistiti.service",
            "systemctl daemon-reload",
            show,
            "systemctl kill --kill-whom=main --signal USR2 ouistiti.service",
            show
        ]
    );
    assert_eq!(errors, "");
    // The first installation, and a daemon that does not run: nothing is sent.
    assert_eq!(configure(&[], good).0, "");
    let (asked, errors) = configure(&["0.0.1"], "exit 3");
    assert_eq!((asked.lines().count(), &*errors), (1, ""));
    // A binary that does not serve: the old one goes on, and the administrator reads why.
    let bad = "case $1 in show) cat main ;; esac";
    let (asked, errors) = configure(&["0.0.1"], bad);
    assert_eq!(asked.matches("kill ").count(), 1, "{asked}");
    assert!(
        errors.contains("'journalctl -u ouistiti' says why"),
        "{errors}"
    );
}

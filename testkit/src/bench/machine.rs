//! Machine, versions and date of a measurement.

use std::{fs, process::Command};

/// Names and values. The load average is the current one; `when` describes that moment.
pub fn circumstances(when: &str) -> Vec<(String, String)> {
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_default();
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let memory = memory.trim_end_matches(" kB").parse().unwrap_or(0) / (1 << 20);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    [
        ("date".to_owned(), scoring_api::wall_clock::now().format("%Y-%m-%d").to_string()),
        ("machine".to_owned(), format!("{cores} cores ({cpu}), {memory} GiB, Linux {}", kernel.trim())),
        (
            format!("load average {when}"),
            read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        ),
        (
            "TCP congestion control".to_owned(),
            read("/proc/sys/net/ipv4/tcp_congestion_control").trim().to_owned(),
        ),
        ("CPU governor".to_owned(), governor()),
        ("Rust".to_owned(), says("rustc", "--version")),
        ("Redis".to_owned(), says("redis-server", "--version")),
        ("memcached".to_owned(), says("memcached", "--version")),
        ("Tarantool".to_owned(), says("tarantool", "--version")),
    ]
    .to_vec()
}

/// The rule by which the kernel chooses the clock of the first core. A virtual machine usually cannot see it.
fn governor() -> String {
    let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    if governor.is_empty() { "not visible (virtual machine)".to_owned() } else { governor.trim().to_owned() }
}

/// The first line of a program's output.
pub fn says(program: &str, argument: &str) -> String {
    let out = Command::new(program).arg(argument).output();
    let text = out.map_or_else(|_| String::new(), |out| String::from_utf8_lossy(&out.stdout).into_owned());
    text.lines().next().unwrap_or("none").trim().to_owned()
}

/// A file's text, or an empty string.
pub fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

use rstest::rstest;

use super::*;

fn greeting(version: &str, challenge: &str) -> [u8; GREETING] {
    let text = format!("{version:<63}\n{challenge:<63}\n");
    text.into_bytes().try_into().unwrap()
}

const VERSION: &str = "Tarantool 2.6.0 (Binary) 4f5b4d6c-6b2e-4d5e-9f3a-000000000000";
const CHALLENGE_TEXT: &str = "QK2HoFZGXTXBq2vFj7soCsHqTo6PGTF575ssUBAJLAI=";

/// As Python's `hashlib` computes it; the tests on real servers show that the server agrees.
#[test]
fn the_password_is_proved_as_the_server_expects() {
    let challenge = challenge(&greeting(VERSION, CHALLENGE_TEXT)).unwrap();
    let proof: String =
        scramble("of-the-service", &challenge).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(proof, PROOF);
}

const PROOF: &str = "86cbaac57b92573dd7497b574a55f34cfd7fae4f";

#[rstest]
#[case::another_server("SSH-2.0-OpenSSH_9.2", CHALLENGE_TEXT)]
#[case::the_console_of_the_server("Tarantool 2.6.0 (Lua console)", CHALLENGE_TEXT)]
#[case::no_challenge(VERSION, "")]
#[case::short_challenge(VERSION, "QK2HoFZG")]
#[case::bad_challenge(VERSION, "QK2Ho!ZGXTXBq2vFj7soCsHqTo6PGTF575ssUBAJLAI=")]
fn another_greeting_is_refused(#[case] version: &str, #[case] challenge_text: &str) {
    assert!(challenge(&greeting(version, challenge_text)).is_none());
}

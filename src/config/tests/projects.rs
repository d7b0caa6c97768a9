//! Projects and keys.

use super::*;
use crate::model::customer_id::Unlisted;

#[test]
fn a_project_needs_little() {
    let config = file("[[project]]\ntoken = 'a'").unwrap();
    let project = &config.projects[0];
    assert_eq!(
        (&project.hard_ids[..], &project.soft_ids[..]),
        (&["registered".into()][..], &["cookie".into()][..])
    );
    assert_eq!((project.lowercase_ids.len(), project.keys.len()), (0, 0));
    assert_eq!(project.unusable_ids.len(), 8);
    assert_eq!(project.unlisted_ids, Unlisted::Refused);
}

#[test]
fn each_mistake_of_a_project_is_named() {
    let project = |rest: &str| file(&format!("[[project]]\ntoken = 'a'\n{rest}"));
    has(
        file("[[project]]"),
        "project[1].token (line 1): missing, expected 1 to 64 letters",
    );
    has(
        file("[[project]]\ntoken = 'ä'"),
        r#"project[1].token (line 2): "ä" is not 1 to 64"#,
    );
    has(
        file("[[project]]\ntoken = 'a'\n[[project]]\ntoken = 'a'"),
        r#"project[2].token (line 4): "a" names another project already"#,
    );
    has(
        project("hard_ids = ['cookie']"),
        r#"project[1].soft_ids (line 1): "cookie" is listed already"#,
    );
    has(
        project("hard_ids = ['a', 'a']"),
        r#"project[1].hard_ids (line 3): "a" is listed already"#,
    );
    has(
        project("hard_ids = ['']"),
        r#"project[1].hard_ids (line 3): "" is not the name of"#,
    );
    has(
        project("lowercase_ids = ['a']"),
        r#"project[1].lowercase_ids (line 3): "a" is neither"#,
    );
    has(
        project("unusable_ids = ['x', ' y']"),
        r#"project[1].unusable_ids (line 3): " y" is not 1 to 64 characters"#,
    );
    has(
        project("unlisted_ids = 'keep'"),
        r#"project[1].unlisted_ids (line 3): "keep" is not "refuse" or "skip""#,
    );
    has(
        project("hard_ids = []\nsoft_ids = []"),
        "project[1].hard_ids (line 3): there is no ID type",
    );
}

#[test]
fn each_mistake_of_a_key_is_named() {
    let key = |rest: &str| {
        file(&format!(
            "[[project]]\ntoken = 'a'\n[[project.key]]\n{rest}"
        ))
    };
    let place = "project[1].key[1]";
    has(
        key("permissions = []"),
        &format!("{place}.id (line 3): missing, expected one of"),
    );
    has(
        key("id = 'a'\npublic = 'b'\npermissions = []"),
        &format!("{place}.id (line 4): given beside public"),
    );
    has(
        key("id = 'a'\nsecrets = ['a']"),
        &format!("{place}.permissions (line 3): missing"),
    );
    has(
        key("id = 'a'\npermissions = []"),
        &format!("{place}.secrets (line 3): 0 in secrets"),
    );
    has(
        key(&format!(
            "id = 'a'\npermissions = []\nsecrets = ['a', 'b']\nsecrets_sha256 = ['{}']",
            "0".repeat(64)
        )),
        &format!("{place}.secrets (line 6): 3 in secrets"),
    );
    has(
        key("public = 'a'\npermissions = []\nsecrets = ['a']"),
        &format!("{place}.secrets (line 6): given beside"),
    );
    has(
        key("public = 'a'\npermissions = ['events:get']"),
        &format!(r#"{place}.permissions (line 5): "events:get" cannot be had by a public key"#),
    );
    has(
        key("public = 'a'\npermissions = ['x']"),
        &format!(r#"{place}.permissions (line 5): "x" is not "customers:set""#),
    );
    has(
        key("public = 'a'\npermissions = []\n[[project.key]]\npublic = 'a'\npermissions = []"),
        "project[1].key[2].public (line 7): another key of the project has it already",
    );
}

#[test]
fn a_hash_stands_for_its_secret() {
    let hash = "00ff".repeat(15) + "AbCd";
    let text = format!(
        "[[project]]\ntoken = 'a'\n[[project.key]]\nid = 'k'\nsecrets_sha256 = ['{hash}']\npermissions = []"
    );
    let mut bytes = [0x00, 0xff].repeat(15);
    bytes.extend([0xab, 0xcd]);
    let secrets = vec![SecretHash::from_sha256(bytes.try_into().unwrap())];
    let access = KeyAccess::Private {
        id: "k".to_owned(),
        secrets,
    };
    assert_eq!(
        projects_from_toml(&text).unwrap()[0].keys[0].key.access,
        access
    );
    has(
        file(&text.replace("AbCd", "AbC")),
        "project[1].key[1].secrets_sha256 (line 5): not 64 hexadecimal digits",
    );
}

#[test]
fn a_secret_is_shown_nowhere() {
    let text = EXAMPLE.replace("key-secret", "hush");
    let shown = format!("{:?}", file(&text).unwrap());
    assert!(
        shown.contains("SecretHash(..)") && !shown.contains("hush"),
        "{shown}"
    );
    for (right, wrong) in [
        (r#"secrets = ["hush"]"#, r#"secrets = "hush""#),
        (r#"secrets = ["hush"]"#, r#"secrets = ["hush\n"]"#),
        (r#"secrets = ["hush"]"#, r#"secrets = [["hush"]]"#),
        (
            r#"secrets = ["hush"]"#,
            r#"secrets = ["hush", "hush", "hush"]"#,
        ),
        (r#"secrets = ["hush"]"#, r#"secrets = { a = "hush" }"#),
        (r#"secrets = ["hush"]"#, r#"secret = ["hush"]"#),
        (r#"secrets = ["hush"]"#, r#"secrets = ["hush]"#),
        (r#"secrets = ["hush"]"#, r#"secrets = ["hush" "hush"]"#),
        (r#"secrets = ["hush"]"#, r#"secrets = [hush]"#),
        (r#"secrets = ["hush"]"#, r#"secrets_sha256 = ["hush"]"#),
        (r#"id = "key-id""#, r#"id = "key-id:hush""#),
        (r#"id = "key-id""#, r#"public = "b""#),
        (r#"token = "1"#, r#"key = "hush"#),
    ] {
        let mistakes = file(&text.replace(right, wrong)).unwrap_err();
        let shown = format!("{mistakes} {mistakes:?}");
        assert!(!shown.contains("hush"), "{wrong}\n{shown}");
    }
    let shown = variables(&[("FOOTFALL_PROJECT_KEY_SECRETS", "hush")])
        .unwrap_err()
        .to_string();
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn a_file_of_projects_holds_nothing_else() {
    let projects = "[[project]]\ntoken = 'a'\n";
    assert_eq!(projects_from_toml(projects).unwrap().len(), 1);
    assert_eq!(projects_from_toml("").unwrap(), []);
    let more = format!("{projects}[server]");
    assert_eq!(
        lines(projects_from_toml(&more)),
        ["server (line 3): unknown section"]
    );
}

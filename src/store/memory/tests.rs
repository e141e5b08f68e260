use super::*;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn clones_and_connections_share_the_values() {
    let memory = Memory::new(10);
    let connection = memory.clone().connect().await.unwrap();
    memory.insert("i:1".into(), b"a".to_vec());
    let keys: Arc<[String]> = ["i:2", "i:1"].map(String::from).into();
    assert_eq!(connection.get_many(keys).await.unwrap(), [None, Some(b"a".to_vec())]);
    connection.set("uid:1".into(), b"3".to_vec(), HOUR).await.unwrap();
    assert_eq!(memory.get("uid:1".into()).await.unwrap(), Some(b"3".to_vec()));
}

#[tokio::test]
async fn persistent_and_cached_values_do_not_meet() {
    let memory = Memory::new(10);
    memory.insert("key".into(), b"persistent".to_vec());
    assert_eq!(memory.get("key".into()).await.unwrap(), None);
    memory.set("key".into(), b"cached".to_vec(), HOUR).await.unwrap();
    let values = memory.get_many(Arc::from(["key".to_owned()]));
    assert_eq!(values.await.unwrap(), [Some(b"persistent".to_vec())]);
}

#[tokio::test]
async fn a_cached_value_is_gone_when_its_time_is_over() {
    let memory = Memory::new(10);
    memory.set("uid:1".into(), b"3".to_vec(), Duration::ZERO).await.unwrap();
    assert_eq!(memory.get("uid:1".into()).await.unwrap(), None);
}

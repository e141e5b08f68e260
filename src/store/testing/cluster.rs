//! A cluster whose nodes behave as a test tells them to.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::watch;

use super::Script;
use crate::store::{BackendError, Cluster, ClusterView, Connector, SlotMap, url::HostAndPort};

/// A cluster of scripted nodes.
#[derive(Debug, Clone)]
pub(crate) struct ScriptedCluster {
    pub(crate) nodes: Arc<BTreeMap<HostAndPort, Script>>,
    view: watch::Sender<ClusterView>,
    pokes: Arc<AtomicUsize>,
}

impl ScriptedCluster {
    /// Nodes at these ports. Nothing is known of their slots yet.
    pub(crate) fn new(ports: &[u16]) -> Self {
        let script = || {
            let script = Script::default();
            script.state().is_one_stream = true;
            script.state().is_shard = true;
            script
        };
        let nodes = ports.iter().map(|port| (Self::place(*port), script())).collect();
        Self { nodes: Arc::new(nodes), view: watch::Sender::default(), pokes: Arc::default() }
    }

    pub(crate) fn place(port: u16) -> HostAndPort {
        HostAndPort { host: "n".to_owned(), port }
    }

    pub(crate) fn node(&self, port: u16) -> &Script {
        &self.nodes[&Self::place(port)]
    }

    /// From now on `owner` returns the port of each slot's primary.
    pub(crate) fn owners(&self, owner: impl Fn(u16) -> Option<u16>) {
        let places: BTreeMap<_, _> = self.nodes.keys().map(|place| (place.port, place)).collect();
        let map = SlotMap::of(|slot| places.get(&owner(slot)?).copied());
        self.view.send_modify(|view| view.map = Some(Arc::new(map)));
    }

    /// How often it was poked.
    pub(crate) fn pokes(&self) -> usize {
        self.pokes.load(Relaxed)
    }
}

impl Cluster for ScriptedCluster {
    fn view(&self) -> Result<watch::Receiver<ClusterView>, BackendError> {
        Ok(self.view.subscribe())
    }

    fn last_view(&self) -> Option<ClusterView> {
        Some(self.view.borrow().clone())
    }

    fn primary(&self, place: &HostAndPort) -> Arc<dyn Connector> {
        self.nodes[place].connector()
    }

    fn poke(&self) {
        self.pokes.fetch_add(1, Relaxed);
    }
}

//! Resources for a given number of calls: instances, stores, connections, network; and the limits that are reached first as
//! the number grows.
//!
//! Pure arithmetic on the measured cost of one call.

/// Cost of one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// CPU of the service, and of its Redis, in microseconds.
    pub cpu_us: f64,
    pub redis_cpu_us: f64,
    /// Bytes between client and service, both directions, with packet headers.
    pub client_bytes: f64,
    /// Bytes between service and Redis, both directions.
    pub redis_bytes: f64,
}

/// Properties of an installation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// The planned share of a core's time; the rest is for peaks and failures.
    pub utilisation: f64,
    /// Cores of one instance, with one worker each.
    pub cores: usize,
    /// Connections of each worker to its Redis.
    pub connections_per_worker: f64,
    /// Connections that one Redis accepts.
    pub max_clients: f64,
    /// Network of one machine, bits a second in both directions together.
    pub network_bits: f64,
}

/// Resources for a number of calls a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Needs {
    pub cores: f64,
    pub instances: f64,
    /// Redis servers: the higher of the numbers for CPU and for connections. 0 if Redis is not used.
    pub stores: f64,
    pub instances_per_store: f64,
    pub connections_per_store: f64,
    pub client_gbits: f64,
    pub redis_gbits: f64,
}

/// A resource that runs out.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    pub what: &'static str,
    /// Calls a second at which it runs out.
    pub per_second: f64,
    /// Remedy.
    pub cure: &'static str,
}

// ===== impl Terms =====

impl Terms {
    /// Calls a second on one core, if each costs this many microseconds.
    fn within(&self, cost_us: f64) -> f64 {
        self.utilisation * 1e6 / cost_us
    }

    fn connections(&self) -> f64 {
        self.connections_per_worker * self.cores as f64
    }

    /// Calls a second of one instance.
    fn instance(&self, cost: Cost) -> f64 {
        self.within(cost.cpu_us) * self.cores as f64
    }

    pub fn needs(&self, cost: Cost, per_second: f64) -> Needs {
        let instances = (per_second / self.instance(cost)).ceil();
        let for_cpu = (per_second * cost.redis_cpu_us / 1e6 / self.utilisation).ceil();
        let for_connections = (instances * self.connections() / self.max_clients).ceil();
        let stores = if cost.redis_cpu_us > 0.0 { for_cpu.max(for_connections) } else { 0.0 };
        let each = if stores > 0.0 { (instances / stores).ceil() } else { 0.0 };
        let gbits = |bytes: f64| bytes * 8.0 * per_second / 1e9;
        Needs {
            cores: instances * self.cores as f64,
            instances,
            stores,
            instances_per_store: each,
            connections_per_store: each * self.connections(),
            client_gbits: gbits(cost.client_bytes),
            redis_gbits: gbits(cost.redis_bytes),
        }
    }

    /// Resources that run out as calls grow, the first one first. Instances are added in front of one Redis until that
    /// Redis is the limit.
    pub fn limits(&self, cost: Cost) -> Vec<Limit> {
        let limit = |what, per_second, cure| Limit { what, per_second, cure };
        let on_network = |bytes: f64| self.network_bits / 8.0 / bytes;
        let mut limits = vec![
            limit("the cores of one instance", self.instance(cost), "more instances"),
            limit("the network of one balancer", on_network(cost.client_bytes), "several, by DNS or anycast"),
        ];
        if cost.redis_cpu_us > 0.0 {
            let instances = self.max_clients / self.connections();
            limits.extend([
                limit(
                    "the core of one Redis",
                    self.within(cost.redis_cpu_us),
                    "several groups, a Redis each",
                ),
                limit(
                    "the connections of one Redis",
                    instances * self.instance(cost),
                    "a higher `maxclients`, or several groups",
                ),
                limit("the network of one Redis", on_network(cost.redis_bytes), "several groups"),
            ]);
        }
        limits.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
        limits
    }
}

#[cfg(test)]
mod tests;

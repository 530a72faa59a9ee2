//! Network class and priorities (v1 only) and RDMA (OCI config-linux, "Network", "RDMA").

use super::{Check, Plan, invalid, v1_only};
use crate::layout::{Controller, Mode};
use oci_spec::runtime::{LinuxNetwork, LinuxRdma};
use silo_types::Result;
use std::collections::{BTreeMap, HashMap};

pub(super) fn plan(plan: &mut Plan, network: &LinuxNetwork) -> Result<()> {
    let refuse = |what| v1_only(what, "mark the traffic with a firewall rule");
    if let Some(class) = network.class_id() {
        let what = "network class";
        if plan.layout.mode() == Mode::V2 {
            return Err(refuse(what));
        }
        let place = plan.place(Controller::NetCls, what)?;
        let value = class.to_string();
        plan.add(what, place, "net_cls.classid", value, Check::Text, "");
    }
    for priority in network.priorities().iter().flatten() {
        let what = "network priority";
        if plan.layout.mode() == Mode::V2 {
            return Err(refuse(what));
        }
        let place = plan.place(Controller::NetPrio, what)?;
        let name = priority.name();
        if name.is_empty() || name.contains(|c: char| c.is_whitespace()) {
            return Err(invalid(what, format!("{name:?} is no interface name")));
        }
        let value = format!("{name} {}", priority.priority());
        plan.add(what, place, "net_prio.ifpriomap", value, Check::Line, "");
    }
    Ok(())
}

pub(super) fn plan_rdma(plan: &mut Plan, devices: &HashMap<String, LinuxRdma>) -> Result<()> {
    for (device, limits) in devices.iter().collect::<BTreeMap<_, _>>() {
        let what = format!("rdma limit of {device:?}");
        if device.is_empty() || device.contains(|c: char| c.is_whitespace()) {
            return Err(invalid(&what, "this is no device name"));
        }
        let place = plan.place(Controller::Rdma, &what)?;
        let mut value = device.clone();
        if let Some(handles) = limits.hca_handles() {
            value += &format!(" hca_handle={handles}");
        }
        if let Some(objects) = limits.hca_objects() {
            value += &format!(" hca_object={objects}");
        }
        plan.add(what, place, "rdma.max", value, Check::Line, "");
    }
    Ok(())
}

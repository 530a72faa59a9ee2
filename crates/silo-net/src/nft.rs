//! nf_tables over netlink: tables, chains, rules and maps as attributes, and the few expressions that Silo's rules need.
//!
//! Used by `firewall`, which says which rules there are. One transaction, all or nothing; numbers are in network byte order
//! except where a register holds the host's. Format: "include/uapi/linux/netfilter/nf_tables.h".

use rustix::io::Errno;
use silo_types::Error;

use crate::message::{self, APPEND, Batch, CREATE};
use crate::netlink::{Failure, Socket};
use crate::subnet::Subnet;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
const NEWTABLE: u16 = SUBSYSTEM << 8;
const GETTABLE: u16 = (SUBSYSTEM << 8) | 1;
const DELTABLE: u16 = (SUBSYSTEM << 8) | 2;
const NEWCHAIN: u16 = (SUBSYSTEM << 8) | 3;
const NEWRULE: u16 = (SUBSYSTEM << 8) | 6;
const NEWSET: u16 = (SUBSYSTEM << 8) | 9;

/// The address family of all tables here: `NFPROTO_IPV4`.
const IPV4: u8 = 2;
const NFGENMSG: usize = 4;

const TABLE_NAME: u16 = 1;
const TABLE_USERDATA: u16 = 6;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LEN: u16 = 7;
const SET_DESC: u16 = 9;
const SET_ID: u16 = 10;
const SET_DESC_CONCAT: u16 = 2;
const SET_FIELD_LEN: u16 = 1;
/// `NFT_SET_INTERVAL | NFT_SET_MAP | NFT_SET_CONCAT`
const INTERVAL_MAP: u32 = 0x4 | 0x8 | 0x80;

/// Type of the comment in a table's user data, as libnftnl has it.
const COMMENT: u8 = 0;

const VERDICT_REGISTER: u32 = 0;
/// Registers of four bytes; the first four are the first of sixteen.
const REGISTER: [u32; 4] = [8, 9, 10, 11];

const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_L4PROTO: u32 = 16;
const PAYLOAD_NETWORK: u32 = 1;
const PAYLOAD_TRANSPORT: u32 = 2;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// Bits of the connection state: 1 << (`IP_CT_ESTABLISHED` + 1), 1 << (`IP_CT_RELATED` + 1).
const ESTABLISHED_OR_RELATED: u32 = 0x2 | 0x4;
/// `IPS_DST_NAT`
const STATUS_DNAT: u32 = 0x20;
/// `NFT_FIB_RESULT_ADDRTYPE` with `NFTA_FIB_F_DADDR`; `RTN_LOCAL`.
const FIB_ADDRTYPE: u32 = 3;
const FIB_DADDR: u32 = 2;
const RTN_LOCAL: u32 = 2;
/// Names of interfaces fill `IFNAMSIZ` bytes, with zeros behind.
const IFNAMSIZ: usize = 16;

/// Where a base chain hangs: (hook, priority, type), "enum nf_inet_hooks" and "enum nf_ip_hook_priorities".
#[derive(Clone, Copy, Debug)]
pub enum Hook {
    /// Before connection tracking: prerouting, priority raw.
    Raw,
    /// Prerouting, destination NAT.
    Prerouting,
    /// Forward, filter.
    Forward,
    /// Output, destination NAT of the host's own connections.
    Output,
    /// Postrouting, source NAT.
    Postrouting,
}

impl Hook {
    fn parts(self) -> (u32, i32, &'static str) {
        match self {
            Hook::Raw => (0, -300, "filter"),
            Hook::Prerouting => (0, -100, "nat"),
            Hook::Forward => (2, 0, "filter"),
            Hook::Output => (3, -100, "nat"),
            Hook::Postrouting => (4, 100, "nat"),
        }
    }
}

/// One step of a rule: a condition, or at the end what to do.
#[derive(Clone, Debug)]
pub enum Step {
    FromInterface(String),
    NotToInterface(String),
    FromNetwork(Subnet),
    NotFromNetwork(Subnet),
    EstablishedOrRelated,
    DestinationTranslated,
    /// The packet is for an address of this host.
    ToThisHost,
    Accept,
    Drop,
    Masquerade,
    /// Sends the packet where the map says for its (protocol, destination address, destination port).
    TranslateBy(&'static str),
}

/// Starts a transaction.
pub fn begin(batch: &mut Batch) {
    batch.begin(BATCH_BEGIN, 0, "begin an nftables transaction");
    batch.body(&[0, 0, 0, SUBSYSTEM as u8]);
}

/// Ends a transaction.
pub fn end(batch: &mut Batch) {
    batch.begin(BATCH_END, 0, "commit an nftables transaction");
    batch.body(&[0, 0, 0, SUBSYSTEM as u8]);
}

/// Appends: the table, made if missing. The comment is shown by `nft list table`.
pub fn add_table(batch: &mut Batch, table: &str, comment: &str) {
    batch.begin(NEWTABLE, CREATE, format!("create nftables table {table}"));
    batch.body(&[IPV4, 0, 0, 0]);
    batch.text(TABLE_NAME, table);
    batch.attr(TABLE_USERDATA, &user_data(comment));
}

/// Appends: the table and all that is in it goes.
pub fn delete_table(batch: &mut Batch, table: &str) {
    batch.begin(DELTABLE, 0, format!("delete nftables table {table}"));
    batch.body(&[IPV4, 0, 0, 0]);
    batch.text(TABLE_NAME, table);
}

/// Appends: a chain that the kernel runs at `hook`; what no rule decides is accepted.
pub fn add_chain(batch: &mut Batch, table: &str, chain: &str, hook: Hook) {
    let (number, priority, kind) = hook.parts();
    let doing = format!("create nftables chain {table} {chain}");
    batch.begin(NEWCHAIN, CREATE, doing);
    batch.body(&[IPV4, 0, 0, 0]);
    batch.text(CHAIN_TABLE, table);
    batch.text(CHAIN_NAME, chain);
    batch.nest(CHAIN_HOOK, |b| {
        b.number_be(HOOK_NUMBER, number);
        b.number_be(HOOK_PRIORITY, priority as u32);
    });
    batch.number_be(CHAIN_POLICY, 1);
    batch.text(CHAIN_TYPE, kind);
}

/// Appends: a map from (protocol, range of addresses, port) to (address, port), empty.
pub fn add_port_map(batch: &mut Batch, table: &str, map: &str) {
    // Numbers of nft's own types, for its listing: inet_proto, ipv4_addr, inet_service; six bits each.
    const PROTOCOL_ADDRESS_PORT: u32 = (12 << 12) | (7 << 6) | 13;
    const ADDRESS_PORT: u32 = (7 << 6) | 13;
    batch.begin(NEWSET, CREATE, format!("create nftables map {table} {map}"));
    batch.body(&[IPV4, 0, 0, 0]);
    batch.text(SET_TABLE, table);
    batch.text(SET_NAME, map);
    batch.number_be(SET_FLAGS, INTERVAL_MAP);
    batch.number_be(SET_KEY_TYPE, PROTOCOL_ADDRESS_PORT);
    batch.number_be(SET_KEY_LEN, 12);
    batch.number_be(SET_DATA_TYPE, ADDRESS_PORT);
    batch.number_be(SET_DATA_LEN, 8);
    batch.number_be(SET_ID, 1);
    batch.nest(SET_DESC, |b| {
        b.nest(SET_DESC_CONCAT, |b| {
            for bytes in [1, 4, 2] {
                b.nest(LIST_ELEMENT, |b| b.number_be(SET_FIELD_LEN, bytes));
            }
        });
    });
}

/// Appends: a rule at the end of a chain.
pub fn add_rule(batch: &mut Batch, table: &str, chain: &str, steps: &[Step]) {
    let doing = format!("add an nftables rule to {table} {chain}");
    batch.begin(NEWRULE, CREATE | APPEND, doing);
    batch.body(&[IPV4, 0, 0, 0]);
    batch.text(RULE_TABLE, table);
    batch.text(RULE_CHAIN, chain);
    batch.nest(RULE_EXPRESSIONS, |b| {
        for step in steps {
            write_step(b, step);
        }
    });
}

/// True if the table exists with just that comment.
pub fn has_table(socket: &mut Socket, table: &str, comment: &str) -> Result<bool, Failure> {
    let mut batch = socket.batch();
    batch.begin(GETTABLE, 0, format!("look up nftables table {table}"));
    batch.body(&[IPV4, 0, 0, 0]);
    batch.text(TABLE_NAME, table);
    let wanted = user_data(comment);
    let found = socket.query(batch, |message| {
        message::attributes_after(message.body, NFGENMSG)
            .any(|(kind, value)| kind == TABLE_USERDATA && value == wanted)
    });
    match found {
        Err(failure) if failure.errno() == Some(Errno::NOENT) => Ok(false),
        other => other,
    }
}

/// The comment of a table, empty without one; `None`: there is no such table.
pub fn table_comment(socket: &mut Socket, table: &str) -> Result<Option<String>, Failure> {
    let mut batch = socket.batch();
    batch.begin(GETTABLE, 0, format!("look up nftables table {table}"));
    batch.body(&[IPV4, 0, 0, 0]);
    batch.text(TABLE_NAME, table);
    let found = socket.query(batch, |message| {
        let mut all = message::attributes_after(message.body, NFGENMSG);
        let data = all.find(|(kind, _)| *kind == TABLE_USERDATA);
        // Kind and length go before the text.
        data.map_or_else(String::new, |(_, data)| {
            message::text(data.get(2..).unwrap_or_default())
        })
    });
    match found {
        Err(failure) if failure.errno() == Some(Errno::NOENT) => Ok(None),
        other => other.map(Some),
    }
}

/// A refusal by a kernel that lacks nf_tables or one of its parts, in words that say so.
pub fn explain(failure: Failure) -> Error {
    let missing = [
        Errno::PROTONOSUPPORT,
        Errno::AFNOSUPPORT,
        Errno::OPNOTSUPP,
        Errno::NOENT,
    ];
    match failure.errno() {
        Some(errno) if missing.contains(&errno) => {
            let text = Error::from(failure);
            Error::unsupported(format!(
                "{text}: bridge networks need nf_tables with NAT in the kernel (modules nf_tables, nft_chain_nat, \
                 nft_masq, nft_nat, nft_ct, nft_fib_ipv4); load them, or use '--network none' or '--network host'"
            ))
        }
        _ => failure.into(),
    }
}

/// A comment as nft writes it: kind, length, text with a closing zero byte. The text must be under 255 bytes.
fn user_data(comment: &str) -> Vec<u8> {
    let mut text = comment.as_bytes().to_vec();
    text.truncate(254);
    text.push(0);
    let mut bytes = vec![COMMENT, text.len() as u8];
    bytes.append(&mut text);
    bytes
}

fn write_step(batch: &mut Batch, step: &Step) {
    match step {
        Step::FromInterface(name) => interface(batch, META_IIFNAME, Compare::Equal, name),
        Step::NotToInterface(name) => interface(batch, META_OIFNAME, Compare::NotEqual, name),
        Step::FromNetwork(subnet) => source(batch, Compare::Equal, *subnet),
        Step::NotFromNetwork(subnet) => source(batch, Compare::NotEqual, *subnet),
        Step::EstablishedOrRelated => connection(batch, CT_STATE, ESTABLISHED_OR_RELATED),
        Step::DestinationTranslated => connection(batch, CT_STATUS, STATUS_DNAT),
        Step::ToThisHost => to_this_host(batch),
        Step::Accept => verdict(batch, 1),
        Step::Drop => verdict(batch, 0),
        Step::Masquerade => expression(batch, "masq", |_| {}),
        Step::TranslateBy(map) => translate(batch, map),
    }
}

#[derive(Clone, Copy)]
enum Compare {
    Equal = 0,
    NotEqual = 1,
}

fn expression(batch: &mut Batch, name: &str, fill: impl FnOnce(&mut Batch)) {
    batch.nest(LIST_ELEMENT, |b| {
        b.text(EXPR_NAME, name);
        b.nest(EXPR_DATA, fill);
    });
}

fn meta(batch: &mut Batch, key: u32, register: u32) {
    expression(batch, "meta", |b| {
        b.number_be(1, register);
        b.number_be(2, key);
    });
}

fn payload(batch: &mut Batch, base: u32, offset: u32, length: u32, register: u32) {
    expression(batch, "payload", |b| {
        b.number_be(1, register);
        b.number_be(2, base);
        b.number_be(3, offset);
        b.number_be(4, length);
    });
}

fn compare(batch: &mut Batch, how: Compare, register: u32, value: &[u8]) {
    expression(batch, "cmp", |b| {
        b.number_be(1, register);
        b.number_be(2, how as u32);
        b.nest(3, |b| b.attr(DATA_VALUE, value));
    });
}

/// Keeps the bits of `mask` in the first register.
fn mask(batch: &mut Batch, mask: [u8; 4]) {
    expression(batch, "bitwise", |b| {
        b.number_be(1, REGISTER[0]);
        b.number_be(2, REGISTER[0]);
        b.number_be(3, 4);
        b.nest(4, |b| b.attr(DATA_VALUE, &mask));
        b.nest(5, |b| b.attr(DATA_VALUE, &[0; 4]));
    });
}

fn interface(batch: &mut Batch, key: u32, how: Compare, name: &str) {
    let mut value = [0; IFNAMSIZ];
    let length = name.len().min(IFNAMSIZ - 1);
    value[..length].copy_from_slice(&name.as_bytes()[..length]);
    meta(batch, key, REGISTER[0]);
    compare(batch, how, REGISTER[0], &value);
}

fn source(batch: &mut Batch, how: Compare, subnet: Subnet) {
    payload(batch, PAYLOAD_NETWORK, 12, 4, REGISTER[0]);
    mask(batch, subnet.mask().octets());
    compare(batch, how, REGISTER[0], &subnet.address().octets());
}

/// True if one of `bits` is set in a field of the connection; the register holds the host's byte order.
fn connection(batch: &mut Batch, key: u32, bits: u32) {
    expression(batch, "ct", |b| {
        b.number_be(1, REGISTER[0]);
        b.number_be(2, key);
    });
    mask(batch, bits.to_ne_bytes());
    compare(batch, Compare::NotEqual, REGISTER[0], &[0; 4]);
}

fn to_this_host(batch: &mut Batch) {
    expression(batch, "fib", |b| {
        b.number_be(1, REGISTER[0]);
        b.number_be(2, FIB_ADDRTYPE);
        b.number_be(3, FIB_DADDR);
    });
    compare(batch, Compare::Equal, REGISTER[0], &RTN_LOCAL.to_ne_bytes());
}

fn verdict(batch: &mut Batch, code: u32) {
    expression(batch, "immediate", |b| {
        b.number_be(1, VERDICT_REGISTER);
        b.nest(2, |b| {
            b.nest(DATA_VERDICT, |b| b.number_be(VERDICT_CODE, code));
        });
    });
}

/// Protocol, destination address and port side by side in registers, looked up, and the result used as new destination.
fn translate(batch: &mut Batch, map: &str) {
    meta(batch, META_L4PROTO, REGISTER[0]);
    payload(batch, PAYLOAD_NETWORK, 16, 4, REGISTER[1]);
    payload(batch, PAYLOAD_TRANSPORT, 2, 2, REGISTER[2]);
    expression(batch, "lookup", |b| {
        b.text(1, map);
        b.number_be(2, REGISTER[0]);
        b.number_be(3, REGISTER[0]);
        b.number_be(4, 1);
    });
    expression(batch, "nat", |b| {
        b.number_be(1, 1);
        b.number_be(2, u32::from(IPV4));
        b.number_be(3, REGISTER[0]);
        b.number_be(5, REGISTER[1]);
    });
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What a session hands over is what its peer holds, and only when nothing of it would be lost.

use alloc::boxed::Box;

use super::{CLIENT, Now, SERVER, authority, issue, pair};
use crate::{
    Session, TlsError,
    selftest::{Pair, carry, shake_hands},
};

fn open() -> Pair {
    let authority = authority();
    let (client, server) = (issue(&authority, CLIENT), issue(&authority, SERVER));
    let mut pair = pair::<Now, Now>(&authority, &client, &server).unwrap();
    shake_hands(&mut pair).unwrap();
    pair
}

#[test]
fn each_side_writes_what_the_other_reads() {
    let mut pair = open();
    assert!(
        carry::<Now>(pair.client.as_mut(), pair.server.as_mut())
            .unwrap()
            .is_some()
    );
    let mut client = pair.client.into_records().unwrap();
    let mut server = pair.server.into_records().unwrap();
    assert_eq!((&client.tx, &client.rx), (&server.rx, &server.tx));
    assert_ne!(client.tx.key(), client.rx.key());
    // 20,000 bytes have gone there, in two records.
    assert_eq!((client.tx.sequence(), client.rx.sequence()), (2, 0));
    assert_eq!(client.tx.key().len(), client.tx.cipher().key_len());
    assert_ne!(client.tx.iv(), &[0; 12]);

    let before = client.tx.key().to_vec();
    assert_eq!(client.update_tx().unwrap(), server.update_rx().unwrap());
    assert_ne!(client.tx.key(), before);
    assert_eq!((client.tx.sequence(), client.rx.sequence()), (0, 0));
    assert_eq!(server.update_tx().unwrap(), client.update_rx().unwrap());
}

#[test]
fn no_key_is_shown() {
    let pair = open();
    let records = pair.client.into_records().unwrap();
    assert_eq!(
        alloc::format!("{records:?}"),
        alloc::format!(
            "Records(Traffic({:?}, 0), Traffic({:?}, 0))",
            records.tx.cipher(),
            records.rx.cipher()
        )
    );
}

fn refused(session: Box<dyn Session>) -> &'static str {
    match session.into_records() {
        Err(TlsError::NoRecords(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_handed_over_that_would_be_lost() {
    let authority = authority();
    let (client, server) = (issue(&authority, CLIENT), issue(&authority, SERVER));
    let early = pair::<Now, Now>(&authority, &client, &server).unwrap();
    assert_eq!(refused(early.client), "the handshake is not done");

    let mut unsent = open();
    unsent.client.send(b"x").unwrap();
    assert_eq!(refused(unsent.client), "something is still to be sent");

    let mut unread = open();
    unread.client.send(b"x").unwrap();
    let sent = unread.client.take_output();
    unread.server.receive(&sent[..3]).unwrap();
    let Pair { server, .. } = unread;
    assert_eq!(
        refused(server),
        "something was received that nobody has read"
    );

    let mut unread = open();
    unread.client.send(b"x").unwrap();
    let sent = unread.client.take_output();
    unread.server.receive(&sent).unwrap();
    assert_eq!(
        refused(unread.server),
        "something was received that nobody has read"
    );

    let mut over = open();
    over.client.close().unwrap();
    over.client.take_output();
    assert_eq!(refused(over.client), "the handshake is not done");
}

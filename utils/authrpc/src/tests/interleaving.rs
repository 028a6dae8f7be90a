//! What others do between the moment a user is looked at and the change.

use super::*;
use crate::store::{By, NewUser, Owned, Store, User};

/// Two connections to a file with the root user `admin` and the user `ann`.
struct Two {
    users: Users,
    here: Store,
    there: Store,
}

impl Two {
    fn new(tables: &str) -> Two {
        let users = Users::with(tables);
        let open = || Store::open(&users.file).expect("it opens");
        let (here, mut there) = (open(), open());
        there
            .add(&new("admin"), &By::Operator)
            .expect("the first user");
        let admin = find(&there, "admin");
        there
            .add(&new("ann"), &By::Root(&admin))
            .expect("the second");
        Two { users, here, there }
    }

    /// In the place of `ann` comes `bob`, with the id of hers.
    fn replace_ann(&mut self) {
        let [ann, admin] = ["ann", "admin"].map(|name| find(&self.there, name));
        let id = ann.id;
        self.there.remove(&own(ann)).expect("removed");
        self.there
            .add(&new("bob"), &By::Root(&admin))
            .expect("added");
        assert_eq!(find(&self.there, "bob").id, id, "ids are used again");
    }

    fn state(&self) -> Vec<Option<User>> {
        let names = ["admin", "ann", "bob", "cid"];
        let find = |name| self.there.find(name).expect("the file is read");
        names.map(find).to_vec()
    }
}

fn new(name: &str) -> NewUser<'_> {
    NewUser {
        name,
        passwd: TEST,
        group: if name == "admin" { "root" } else { "users" },
        home: None,
    }
}

fn find(store: &Store, name: &str) -> User {
    store.find(name).expect("read").expect("the user")
}

fn own(user: User) -> Owned {
    Owned { user, root: None }
}

#[test]
fn a_change_of_one_user_never_meets_another_with_its_id() {
    for tables in ["", NEWER] {
        let mut two = Two::new(tables);
        let ann = own(find(&two.here, "ann"));
        two.replace_ann();
        let before = two.state();
        two.here
            .set_passwd(&ann, "stolen")
            .expect_err("she is gone");
        two.here.remove(&ann).expect_err("she is gone");
        assert_eq!(two.state(), before);
        assert!(two.users.file.exists());
    }
}

#[test]
fn a_change_by_a_password_that_was_changed_meanwhile_fails() {
    for tables in ["", NEWER] {
        let mut two = Two::new(tables);
        let ann = own(find(&two.here, "ann"));
        let again = own(find(&two.there, "ann"));
        two.there.set_passwd(&again, "$a5$new").expect("changed");
        let before = two.state();
        two.here
            .set_passwd(&ann, "old")
            .expect_err("the old password");
        two.here.remove(&ann).expect_err("the old password");
        assert_eq!(two.state(), before);
    }
}

#[test]
fn a_user_who_is_no_longer_root_changes_nothing() {
    for tables in ["", NEWER] {
        let mut two = Two::new(tables);
        let admin = find(&two.here, "admin");
        let ann = Owned {
            user: find(&two.here, "ann"),
            root: Some(admin.clone()),
        };
        let down = "UPDATE users SET groupid = 2 WHERE name = 'admin'";
        two.users.sqlite().execute(down, []).expect("no root now");
        let before = two.state();
        two.here.set_passwd(&ann, "stolen").expect_err("not root");
        two.here.remove(&ann).expect_err("not root");
        two.here
            .add(&new("cid"), &By::Root(&admin))
            .expect_err("not root");
        assert_eq!(two.state(), before);
    }
}

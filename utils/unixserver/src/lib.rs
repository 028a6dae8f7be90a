//! What the sample UNIX servers share.

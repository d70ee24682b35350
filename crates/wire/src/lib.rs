//! Everything that enters or leaves as bytes: protobuf, gRPC, Ethereum JSON-RPC.

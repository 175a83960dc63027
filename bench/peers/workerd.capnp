# One worker, one port; workerd says on its control descriptor which port it got.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "function", worker = .function)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "function")],
);

const function :Workerd.Worker = (
  modules = [(name = "workerd.js", esModule = embed "workerd.js")],
  compatibilityDate = "2026-01-01",
);

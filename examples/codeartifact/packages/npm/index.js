exports.path = (id) => `/orders/${encodeURIComponent(id)}`;

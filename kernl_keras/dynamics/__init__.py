"""Pure time steps: functions of tensors, without weights or state of their own."""

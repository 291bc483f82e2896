/**
 * Gathers and scatters. Loaded elements clear their bit (or sign) in the mask, which ends up zero.
 *
 * Destination, index and mask must be different registers; the processor faults otherwise.
 */
export const gatherRows = [
  // gathers
  ["vpgatherdd", "rw v, r vm32v, rw v", "VEX.VL.66.0F38.W0 90 /r", "avx2"],
  ["vpgatherdd", "rw v{K}, r vm32v", "EVEX.VL.66.0F38.W0 90 /r", "avx512f", "N=4"],
  ["vgatherdps", "rw v, r vm32v, rw v", "VEX.VL.66.0F38.W0 92 /r", "avx2"],
  ["vgatherdps", "rw v{K}, r vm32v", "EVEX.VL.66.0F38.W0 92 /r", "avx512f", "N=4"],
  ["vpgatherqq", "rw v, r vm64v, rw v", "VEX.VL.66.0F38.W1 91 /r", "avx2"],
  ["vpgatherqq", "rw v{K}, r vm64v", "EVEX.VL.66.0F38.W1 91 /r", "avx512f", "N=8"],
  ["vgatherqpd", "rw v, r vm64v, rw v", "VEX.VL.66.0F38.W1 93 /r", "avx2"],
  ["vgatherqpd", "rw v{K}, r vm64v", "EVEX.VL.66.0F38.W1 93 /r", "avx512f", "N=8"],
  ["vpgatherdq", "rw v, r vm32h, rw v", "VEX.VL.66.0F38.W1 90 /r", "avx2"],
  ["vpgatherdq", "rw v{K}, r vm32h", "EVEX.VL.66.0F38.W1 90 /r", "avx512f", "N=8"],
  ["vgatherdpd", "rw v, r vm32h, rw v", "VEX.VL.66.0F38.W1 92 /r", "avx2"],
  ["vgatherdpd", "rw v{K}, r vm32h", "EVEX.VL.66.0F38.W1 92 /r", "avx512f", "N=8"],
  ["vpgatherqd", "rw vh, r vm64v, rw vh", "VEX.VL.66.0F38.W0 91 /r", "avx2"],
  ["vpgatherqd", "rw vh{K}, r vm64v", "EVEX.VL.66.0F38.W0 91 /r", "avx512f", "N=4"],
  ["vgatherqps", "rw vh, r vm64v, rw vh", "VEX.VL.66.0F38.W0 93 /r", "avx2"],
  ["vgatherqps", "rw vh{K}, r vm64v", "EVEX.VL.66.0F38.W0 93 /r", "avx512f", "N=4"],
  // scatters
  ["vpscatterdd", "w vm32v{K}, r v", "EVEX.VL.66.0F38.W0 A0 /r", "avx512f", "N=4"],
  ["vscatterdps", "w vm32v{K}, r v", "EVEX.VL.66.0F38.W0 A2 /r", "avx512f", "N=4"],
  ["vpscatterqq", "w vm64v{K}, r v", "EVEX.VL.66.0F38.W1 A1 /r", "avx512f", "N=8"],
  ["vscatterqpd", "w vm64v{K}, r v", "EVEX.VL.66.0F38.W1 A3 /r", "avx512f", "N=8"],
  ["vpscatterdq", "w vm32h{K}, r v", "EVEX.VL.66.0F38.W1 A0 /r", "avx512f", "N=8"],
  ["vscatterdpd", "w vm32h{K}, r v", "EVEX.VL.66.0F38.W1 A2 /r", "avx512f", "N=8"],
  ["vpscatterqd", "w vm64v{K}, r vh", "EVEX.VL.66.0F38.W0 A1 /r", "avx512f", "N=4"],
  ["vscatterqps", "w vm64v{K}, r vh", "EVEX.VL.66.0F38.W0 A3 /r", "avx512f", "N=4"],
] as const;

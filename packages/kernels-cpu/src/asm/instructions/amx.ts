/**
 * AMX: tile configuration, tile loads and stores, tile products (Intel SDM volume 1, chapter 18).
 *
 * A tile address is base + index*scale as row stride; the SIB byte is mandatory. In products the second
 * operand sits in ModR/M.rm and the third in VEX.vvvv. The three tiles must differ.
 */
export const amxRows = [
  // tiles
  ["ldtilecfg", "r m512", "VEX.128.NP.0F38.W0 49 /0", "amx-tile"],
  ["sttilecfg", "w m512", "VEX.128.66.0F38.W0 49 /0", "amx-tile"],
  [
    "tilerelease",
    "w <tmm0>, w <tmm1>, w <tmm2>, w <tmm3>, w <tmm4>, w <tmm5>, w <tmm6>, w <tmm7>",
    "VEX.128.NP.0F38.W0 49 C0",
    "amx-tile",
  ],
  ["tilezero", "w tmm", "VEX.128.F2.0F38.W0 49 /r", "amx-tile", "R"],
  ["tileloadd", "w tmm, r sibmem", "VEX.128.F2.0F38.W0 4B /r", "amx-tile"],
  ["tileloaddt1", "w tmm, r sibmem", "VEX.128.66.0F38.W0 4B /r", "amx-tile"],
  ["tilestored", "w sibmem, r tmm", "VEX.128.F3.0F38.W0 4B /r", "amx-tile"],
  // products
  ["tdpbssd", "rw tmm, r tmm, r tmm", "VEX.128.F2.0F38.W0 5E /r", "amx-int8", "RMV"],
  ["tdpbsud", "rw tmm, r tmm, r tmm", "VEX.128.F3.0F38.W0 5E /r", "amx-int8", "RMV"],
  ["tdpbusd", "rw tmm, r tmm, r tmm", "VEX.128.66.0F38.W0 5E /r", "amx-int8", "RMV"],
  ["tdpbuud", "rw tmm, r tmm, r tmm", "VEX.128.NP.0F38.W0 5E /r", "amx-int8", "RMV"],
  ["tdpbf16ps", "rw tmm, r tmm, r tmm", "VEX.128.F3.0F38.W0 5C /r", "amx-bf16", "RMV"],
  ["tdpfp16ps", "rw tmm, r tmm, r tmm", "VEX.128.F2.0F38.W0 5C /r", "amx-fp16", "RMV"],
] as const;

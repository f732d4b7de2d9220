module genesys-media-benchmark-peer

go 1.22
